export { type Authority, loadAuthority, readAnchors } from "./authority.ts";
export { pem } from "./certificate.ts";
export { initHub, checkCertificateLife } from "./init.ts";
export type { Issuer, KeyAndCertificate } from "./issuer.ts";
export { CLIENT_AUTH_DOTTED, OID } from "./oids.ts";
export type { NoteSigner } from "./signers.ts";
