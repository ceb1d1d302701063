export { type Authority, loadAuthority, readAnchors } from "./authority.ts";
export { pem } from "./certificate.ts";
export { crlPem, type RevokedEntry } from "./crl.ts";
export { initHub, checkCertificateLife, checkCrlUrl } from "./init.ts";
export { clockFault, type Issuer, type KeyAndCertificate } from "./issuer.ts";
export { CLIENT_AUTH_DOTTED, OID } from "./oids.ts";
export type { NoteSigner } from "./signers.ts";
