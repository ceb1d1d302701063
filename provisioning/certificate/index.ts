// The device certificate: its check, its store and its renewal.
export { checkIssued, checkStored, type DeviceCertificate, type ExpectedCertificate } from "./check.ts";
export { type CertificateReceipts, createCertificateReceipts } from "./receipts.ts";
export { createRenewal, type Renewal, type RenewalNeed } from "./renewal.ts";
export { createCertificateStore, type CertificateStore } from "./store.ts";
