// X.509 as it is written and read here: requests, certs-only CMS, and the ASN.1 below them. The
// device and the hub both use it.
export * as der from "./der.ts";
export { decodeCertsOnly, encodeCertsOnly } from "./certs-only.ts";
export { keyFingerprint } from "./fingerprint.ts";
export { buildRequest, parseRequest, type CertificateRequest } from "./request.ts";
export { CERTS_ONLY_BYTES_MAX, CERTS_ONLY_COUNT_MAX, REQUEST_BYTES_MAX } from "./limits.ts";
export { isOfBefore } from "./statement.ts";
export { macUrn, opsUrn } from "./urn.ts";
