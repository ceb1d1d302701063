// X.509 as we write and read it: requests, certs-only CMS, and the ASN.1 below them. Used by the device and by the hub.
export * as der from "./der.ts";
export { decodeCertsOnly, encodeCertsOnly } from "./certs-only.ts";
export { keyFingerprint } from "./fingerprint.ts";
export { buildRequest, parseRequest, type CertificateRequest } from "./request.ts";
export { CERTS_ONLY_BYTES_MAX, REQUEST_BYTES_MAX } from "./limits.ts";
export { macUrn, opsUrn } from "./urn.ts";
