// CMS certs-only (RFC 5652 section 5, degenerate; RFC 8951 section 3.2), the form in which EST
// carries certificates.
import { Fault } from "../../../hal/fault.ts";
import * as der from "./der.ts";
import { CERTS_ONLY_BYTES_MAX, CERTS_ONLY_COUNT_MAX } from "./limits.ts";
import { OID } from "./oids.ts";
import { isOid, octets, parts } from "./read.ts";

const READING: der.Reading = { code: "cms.invalid", what: "CMS certificates" };
const CERTIFICATES = 0xa0;

/**
 * @param certificates each DER. Their order is lost, because a SET OF has none.
 * @throws Fault `cms.invalid` for a certificate that is not DER, or too many.
 */
export function encodeCertsOnly(certificates: readonly Uint8Array[]): Uint8Array {
  if (certificates.length > CERTS_ONLY_COUNT_MAX) throw tooMany(certificates.length);
  const values = certificates.map((certificate) => der.decode(certificate, CERTS_ONLY_BYTES_MAX, READING));
  const signedData = der.sequence(
    der.integer(1),
    der.setOf(),
    der.sequence(OID.data),
    der.context(0, ...der.inDerOrder(values)),
    der.setOf(),
  );
  return der.encode(der.sequence(OID.signedData, der.context(0, signedData)));
}

/**
 * The certificates in a SignedData, each DER, in its order. Servers also write BER with indefinite
 * lengths, so that is read too. Signatures, CRLs and content are ignored: a certificate proves
 * itself by its own signature, and a damaged one fails there.
 * @throws Fault `cms.invalid`.
 */
export function decodeCertsOnly(bytes: Uint8Array): readonly Uint8Array[] {
  const [type, tagged, ...rest] = parts(
    der.decodeBer(bytes, CERTS_ONLY_BYTES_MAX, READING),
    der.TAG.sequence,
    "ContentInfo",
    READING,
  );
  if (!isOid(type, OID.signedData) || rest.length > 0)
    throw new Fault("cms.invalid", "read CMS certificates: it is not a SignedData");
  const [signedData] = parts(tagged, CERTIFICATES, "content of ContentInfo", READING);
  const [version, digests, content, certificates] = parts(signedData, der.TAG.sequence, "SignedData", READING);
  octets(version, der.TAG.integer, "version", READING);
  parts(digests, der.TAG.set, "digestAlgorithms", READING);
  parts(content, der.TAG.sequence, "encapContentInfo", READING);
  const list = parts(certificates, CERTIFICATES, "certificates", READING);
  if (list.length > CERTS_ONLY_COUNT_MAX) throw tooMany(list.length);
  // no attribute certificates and the like
  for (const certificate of list) parts(certificate, der.TAG.sequence, "certificate", READING);
  return list.map((certificate) => der.encode(certificate));
}

function tooMany(count: number): Fault {
  return new Fault("cms.invalid", `CMS certificates: ${count} of them, at most ${CERTS_ONLY_COUNT_MAX} are accepted`);
}
