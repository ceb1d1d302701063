// The device certificate: is it ours, where it lies, when it is renewed.
export { checkIssued, checkStored, type DeviceCertificate, type ExpectedCertificate } from "./check.ts";
export { createRenewal, type Renewal, type RenewalNeed } from "./renewal.ts";
export { createCertificateStore, type CertificateStore } from "./store.ts";
