// The device certificate: is it ours, where it lies, when it is renewed.
export { checkIssued, checkStored, type DeviceCertificate, type Expected } from "./check.ts";
export { createRenewal, type Renewal, type RenewalNeed, type RenewalPorts } from "./renewal.ts";
export { createCertificateStore, type CertificateStore, type StoredCertificates } from "./store.ts";
export type { State as RenewalState } from "./machine.ts";
