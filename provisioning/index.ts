// The device's identity towards the hub: key, request, enrolment, certificate, renewal, and hub
// time, which a first boot may need before all of them.
export {
  type CertificateReceipts,
  type CertificateStore,
  checkStored,
  createCertificateReceipts,
  createCertificateStore,
  createRenewal,
  type DeviceCertificate,
  type Renewal,
  type RenewalNeed,
} from "./certificate/index.ts";
export { describeRequest, type RequestOptions, signRequest } from "./csr.ts";
export { askHubTime, createEstEnroller, type Enroller } from "./enrollers/index.ts";
export { type Enrolled, type Enrolment, type EnrolmentPorts, type EnrolmentProgress, startEnrolment } from "./enrolment/index.ts";
export { type FoundKey, settleKey } from "./key.ts";
export type { HubServer } from "./tls/index.ts";
