// The certificate request: PKCS#10 (RFC 2986). [ID-5]
import { verify } from "node:crypto";
import { Fault } from "../../../hal/fault.ts";
import { type Protection, PROTECTIONS } from "../../../hal/format/identity.ts";
import * as der from "./der.ts";
import {
  AUDIT_KEY_CHARACTERS_MAX,
  NAME_CHARACTERS_MAX,
  REQUEST_BYTES_MAX,
  REQUEST_URI_BYTES_MAX,
  REQUEST_URIS_MAX,
} from "./limits.ts";
import { OID } from "./oids.ts";
import { isOid, octets, parts, text } from "./read.ts";
import { p256PublicKey } from "./spki.ts";
import { readStatement, statementOf } from "./statement.ts";

export interface CertificateRequest {
  readonly commonName: string;
  readonly serialNumber: string | undefined;
  readonly uris: readonly string[];
  /** DER SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  /** C2SP verifier key, as text. [AUD-7] */
  readonly auditKey: string | undefined;
  /**
   * What keeps the key, as the device says. Nothing proves it. Absent in a request of another EST
   * client or of an older agent. [ID-60]
   */
  readonly protection?: Protection | undefined;
}

const READING: der.Reading = { code: "csr.invalid", what: "certificate request" };
const ATTRIBUTES = 0xa0;
const URI = 6;

/**
 * @param sign ECDSA with SHA-256 over the given bytes, DER. The key stays where it is. [ID-4]
 * @returns PKCS#10 DER.
 * @throws Fault `csr.invalid` for a member out of bounds, or what `sign` throws.
 */
export async function buildRequest(
  request: CertificateRequest,
  sign: (toBeSigned: Uint8Array) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  checkMembers(request);
  p256PublicKey(request.publicKey, READING);
  const info = der.sequence(
    der.integer(0),
    subject(request),
    der.decode(request.publicKey, REQUEST_BYTES_MAX, READING),
    der.context(0, ...der.inDerOrder(attributes(request))),
  );
  const signature = await sign(der.encode(info));
  return der.encode(der.sequence(info, der.sequence(OID.ecdsaWithSha256), der.bitString(signature)));
}

/**
 * Reads what {@link buildRequest} or another EST client wrote: strict DER, P-256 with
 * ecdsa-with-SHA256, a subject of CN and serialNumber only. Unknown attributes and extensions are
 * ignored: the authority decides what a certificate says, never the request. The self-signature is
 * verified (proof of possession, RFC 2986 section 4.2).
 * @throws Fault `csr.invalid`.
 */
export function parseRequest(bytes: Uint8Array): CertificateRequest {
  const whole = der.decode(bytes, REQUEST_BYTES_MAX, READING);
  const [info, algorithm, signature, ...rest] = parts(whole, der.TAG.sequence, "CertificationRequest", READING);
  const [version, name, key, attributes, ...more] = parts(info, der.TAG.sequence, "CertificationRequestInfo", READING);
  if (info === undefined || key === undefined || rest.length + more.length > 0)
    throw refused("it has parts that PKCS#10 does not");
  if (!Buffer.from(octets(version, der.TAG.integer, "version", READING)).equals(Buffer.of(0)))
    throw refused("its version is not 0");
  const [signedWith, ...parameters] = parts(algorithm, der.TAG.sequence, "signatureAlgorithm", READING);
  if (!isOid(signedWith, OID.ecdsaWithSha256) || parameters.length > 0) throw refused("it is not signed with ecdsa-with-SHA256");

  const publicKey = der.encode(key);
  const bits = octets(signature, der.TAG.bitString, "signature", READING);
  const verifier = { key: p256PublicKey(publicKey, READING), dsaEncoding: "der" } as const;
  // The input is proven to be DER, so encoding a part again gives exactly the bytes that were
  // signed.
  if (bits[0] !== 0 || !verify("sha256", der.encode(info), verifier, bits.subarray(1)))
    throw refused("its signature is not by the key it asks a certificate for");

  const request = { ...readSubject(name), publicKey, ...readAttributes(attributes) };
  checkMembers(request);
  return request;
}

function checkMembers(request: CertificateRequest): void {
  const { commonName, serialNumber, uris, auditKey } = request;
  const faults: string[] = [];
  if (commonName.length < 1 || commonName.length > NAME_CHARACTERS_MAX)
    faults.push(`a CN has 1 to ${NAME_CHARACTERS_MAX} characters`);
  // X.520 makes serialNumber a PrintableString of at most 64 characters
  if (serialNumber !== undefined && (serialNumber.length > NAME_CHARACTERS_MAX || !der.isPrintable(serialNumber)))
    faults.push(`a serialNumber is a PrintableString of 1 to ${NAME_CHARACTERS_MAX} characters`);
  if (uris.length > REQUEST_URIS_MAX) faults.push(`at most ${REQUEST_URIS_MAX} URIs`);
  if (!uris.every((uri) => uri.length <= REQUEST_URI_BYTES_MAX && /^[!-~]+$/.test(uri)))
    faults.push(`a URI is visible ASCII of at most ${REQUEST_URI_BYTES_MAX} characters`);
  if (
    auditKey !== undefined &&
    (auditKey.length > AUDIT_KEY_CHARACTERS_MAX || !/^[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]+={0,2}$/u.test(auditKey))
  )
    faults.push("an audit key is a C2SP verifier key, name+hash+base64");
  if (/[\u0000-\u001f\u007f]/.test(commonName)) faults.push("a CN has no control characters");
  if (faults.length > 0) throw new Fault("csr.invalid", `certificate request is invalid: ${faults.join("; ")}`);
}

function subject(request: CertificateRequest): der.Value {
  const names = [der.setOf(der.sequence(OID.commonName, der.utf8String(request.commonName)))];
  if (request.serialNumber !== undefined)
    names.push(der.setOf(der.sequence(OID.serialNumber, der.printableString(request.serialNumber))));
  return der.sequence(...names);
}

function attributes(request: CertificateRequest): readonly der.Value[] {
  const list: der.Value[] = [];
  if (request.uris.length > 0) {
    const names = request.uris.map((uri) => der.contextPrimitive(URI, Buffer.from(uri, "latin1")));
    const extension = der.sequence(OID.subjectAltName, der.octetString(der.encode(der.sequence(...names))));
    list.push(der.sequence(OID.extensionRequest, der.setOf(der.sequence(extension))));
  }
  return [...list, ...statementOf(request.auditKey, request.protection)];
}

function readSubject(name: der.Value | undefined): Pick<CertificateRequest, "commonName" | "serialNumber"> {
  const found = { commonName: new Array<string>(), serialNumber: new Array<string>() };
  for (const set of parts(name, der.TAG.sequence, "subject", READING)) {
    for (const pair of parts(set, der.TAG.set, "relative distinguished name", READING)) {
      const [type, value] = parts(pair, der.TAG.sequence, "attribute of the subject", READING);
      const list = isOid(type, OID.commonName)
        ? found.commonName
        : isOid(type, OID.serialNumber)
          ? found.serialNumber
          : undefined;
      if (list === undefined) throw refused("its subject holds more than CN and serialNumber");
      list.push(text(value, "name", READING));
    }
  }
  const [commonName, ...others] = found.commonName;
  const [serialNumber, ...more] = found.serialNumber;
  if (commonName === undefined || others.length + more.length > 0)
    throw refused("its subject must hold one CN, and at most one serialNumber");
  return { commonName, serialNumber };
}

function readAttributes(tagged: der.Value | undefined): Pick<CertificateRequest, "uris" | "auditKey" | "protection"> {
  const uris: string[] = [];
  const auditKeys: string[] = [];
  const protections: string[] = [];
  for (const attribute of parts(tagged, ATTRIBUTES, "attributes", READING)) {
    const [type, values] = parts(attribute, der.TAG.sequence, "attribute", READING);
    if (isOid(type, OID.extensionRequest)) uris.push(...readExtensions(onlyPart(values, "extensionRequest")));
    const stated = readStatement(type, values, READING);
    auditKeys.push(...stated.auditKeys);
    protections.push(...stated.protections);
  }
  const [auditKey, ...others] = auditKeys;
  if (others.length > 0) throw refused("it names more than one audit key");
  return { uris, auditKey, protection: protectionIn(protections) };
}

/** A word that is not known could be weaker than another, and nobody could say so. */
function protectionIn([word, ...others]: readonly string[]): Protection | undefined {
  if (others.length > 0) throw refused("it names more than one protection of its key");
  const protection = PROTECTIONS.find((each) => each === word);
  if (word !== undefined && protection === undefined)
    throw refused(`its protection of the key is none of ${PROTECTIONS.join(", ")}`);
  return protection;
}

function onlyPart(set: der.Value | undefined, where: string): der.Value | undefined {
  const [only, ...others] = parts(set, der.TAG.set, where, READING);
  if (others.length > 0) throw refused(`its attribute ${where} has more than one value`);
  return only;
}

function readExtensions(list: der.Value | undefined): readonly string[] {
  const names = parts(list, der.TAG.sequence, "extensions", READING).flatMap((extension) => {
    const [type, ...rest] = parts(extension, der.TAG.sequence, "extension", READING);
    if (!isOid(type, OID.subjectAltName)) return [];
    // `critical` may stand in between
    const wrapped = octets(rest.at(-1), der.TAG.octetString, "value of an extension", READING);
    return parts(der.decode(wrapped, REQUEST_BYTES_MAX, READING), der.TAG.sequence, "subjectAltName", READING);
  });
  return names.map((name) => Buffer.from(octets(name, 0x80 | URI, "name of kind URI", READING)).toString("latin1"));
}

function refused(why: string): Fault {
  return new Fault("csr.invalid", `read certificate request: ${why}`);
}
