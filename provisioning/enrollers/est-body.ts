// The certificates in an EST server's answer. RFC 8951 section 3.1 prescribes base64 of DER CMS.
// Servers in the field send it wrapped or not, as PEM, as bare DER, or as a bare certificate, so
// all of these are read. The certificates prove themselves later. [ID-8]
import { X509Certificate } from "node:crypto";
import { asFault, Fault } from "../../hal/fault.ts";
import { CERTS_ONLY_BYTES_MAX, CERTS_ONLY_COUNT_MAX, decodeCertsOnly } from "../x509/format/index.ts";

const SEQUENCE = 0x30;
/** The byte order mark that some servers put in front of text. */
const BOM = Buffer.from("\ufeff");

/**
 * @returns DER certificates, at least one.
 * @throws Fault `enrol.bad-response`.
 */
export function readCertificates(answered: Uint8Array): readonly Uint8Array[] {
  const body = BOM.equals(answered.subarray(0, BOM.byteLength)) ? answered.subarray(BOM.byteLength) : answered;
  try {
    const certificates =
      body[0] === SEQUENCE && !isText(body) ? fromBinary(body) : fromText(Buffer.from(body).toString("latin1"));
    if (certificates.length === 0) throw new Fault("enrol.bad-response", "read certificates: the answer has none");
    return certificates;
  } catch (error) {
    if (error instanceof Fault && error.code === "enrol.bad-response") throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new Fault("enrol.bad-response", `read certificates: the answer is not CMS as base64, DER or PEM: ${why}`, {
      cause: error,
    });
  }
}

/** Octet 0x30 is also the digit "0", which base64 may begin with. */
function isText(body: Uint8Array): boolean {
  return body.every((octet) => octet === 0x09 || octet === 0x0a || octet === 0x0d || (octet >= 0x20 && octet < 0x7f));
}

function fromText(text: string): readonly Uint8Array[] {
  const armoured = [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----([^-]*)-----END \1-----/g)];
  if (armoured.length > CERTS_ONLY_COUNT_MAX)
    throw new Fault(
      "enrol.bad-response",
      `read certificates: the answer has ${armoured.length} PEM blocks, at most ${CERTS_ONLY_COUNT_MAX} are accepted`,
    );
  if (armoured.length > 0) return armoured.flatMap((block) => fromBinary(fromBase64(block[2] ?? "")));
  return fromBinary(fromBase64(text));
}

function fromBase64(text: string): Uint8Array {
  const digits = text.replaceAll(/\s+/g, "");
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(digits))
    throw new Fault("enrol.bad-response", "read certificates: the answer is not base64");
  return Buffer.from(digits, "base64");
}

function fromBinary(bytes: Uint8Array): readonly Uint8Array[] {
  if (bytes.byteLength > CERTS_ONLY_BYTES_MAX)
    throw new Fault(
      "enrol.bad-response",
      `read certificates: ${bytes.byteLength} bytes, at most ${CERTS_ONLY_BYTES_MAX} are accepted`,
    );
  try {
    return decodeCertsOnly(bytes);
  } catch (error) {
    const fault = asFault(error, "cms.invalid", "read certificates");
    return [bareCertificate(bytes, fault)];
  }
}

function bareCertificate(bytes: Uint8Array, cmsFault: Fault): Uint8Array {
  try {
    return new X509Certificate(bytes).raw;
  } catch {
    throw cmsFault; // it is not a certificate either: the fault of the CMS reader says more
  }
}
