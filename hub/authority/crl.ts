// The list of revoked certificates (CRL v2, RFC 5280 section 5), signed with ECDSA-SHA256. [ID-90]
import { type KeyObject, sign } from "node:crypto";
import { der } from "../../provisioning/x509/format/index.ts";
import { extension, keyIdentifier } from "./certificate.ts";
import { OID } from "./oids.ts";

/** RFC 5280 section 5.3.1. `unspecified` is left out of a list, as the RFC recommends. */
const REASONS = { unspecified: undefined, superseded: 4 } as const;
export type RevocationReason = keyof typeof REASONS;

export interface RevokedEntry {
  /** 32 lower-case hex digits. */
  readonly serial: string;
  readonly revokedAtMs: number;
  readonly reason: RevocationReason;
}

export interface CrlContent {
  readonly number: number;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  readonly entries: readonly RevokedEntry[];
}

const ENUMERATED = 0x0a;

/**
 * @param issuer the name of the authority, as in its certificates.
 * @param issuerPublicKey DER SubjectPublicKeyInfo, for the authority key identifier.
 * @returns the list, DER.
 */
export function buildCrl(content: CrlContent, issuer: der.Value, issuerPublicKey: Uint8Array, key: KeyObject): Uint8Array {
  const extensions = der.sequence(
    extension(OID.authorityKeyIdentifier, false, der.sequence(der.contextPrimitive(0, keyIdentifier(issuerPublicKey)))),
    extension(OID.crlNumber, false, der.integer(content.number)),
  );
  const algorithm = der.sequence(OID.ecdsaWithSha256);
  const toBeSigned = sequenceOf([
    der.encode(der.integer(1)),
    der.encode(algorithm),
    der.encode(issuer),
    der.encode(der.time(content.thisUpdateMs)),
    der.encode(der.time(content.nextUpdateMs)),
    // RFC 5280 section 5.1.2.6: absent when there are none
    ...(content.entries.length === 0 ? [] : [sequenceOf(content.entries.map((each) => entry(each)))]),
    der.encode(der.context(0, extensions)),
  ]);
  const signature = sign("sha256", toBeSigned, { key, dsaEncoding: "der" });
  return sequenceOf([toBeSigned, der.encode(algorithm), der.encode(der.bitString(signature))]);
}

function entry({ serial, revokedAtMs, reason }: RevokedEntry): Uint8Array {
  const code = REASONS[reason];
  const why: der.Value | undefined =
    code === undefined ? undefined : extension(OID.reasonCode, false, { tag: ENUMERATED, content: Buffer.of(code) });
  return der.encode(
    der.sequence(
      der.integer(Buffer.from(serial, "hex")),
      der.time(revokedAtMs),
      ...(why === undefined ? [] : [der.sequence(why)]),
    ),
  );
}

/** A SEQUENCE of parts that are encoded already: a long list needs no object for each value. */
function sequenceOf(parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.of(der.TAG.sequence), lengthOctets(content.byteLength), content]);
}

/** X.690 section 8.1.3, in the fewest octets (section 10.1). */
function lengthOctets(length: number): Uint8Array {
  if (length < 0x80) return Buffer.of(length);
  const digits = length.toString(16);
  const octets = Buffer.from(digits.padStart(digits.length + (digits.length % 2), "0"), "hex");
  return Buffer.concat([Buffer.of(0x80 | octets.byteLength), octets]);
}

/** RFC 7468 section 6. */
export function crlPem(crl: Uint8Array): string {
  const lines =
    Buffer.from(crl)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN X509 CRL-----\n${lines.join("\n")}\n-----END X509 CRL-----\n`;
}

const CERTIFICATE_BYTES_MAX = 65_536;
const READING = { code: "x509.invalid", what: "authority's certificate" } as const;
/** RFC 5280 section 4.2.1.3: bit 6 of the named bits, from the left. */
const CRL_SIGN = 0x02;

/**
 * Whether a certificate allows its key to sign lists (RFC 5280 section 4.2.1.3). Without the
 * extension every use is allowed.
 * @throws Fault `x509.invalid`.
 */
export function maySignCrl(certificate: Uint8Array): boolean {
  const bits = keyUsageBits(der.decodeBer(certificate, CERTIFICATE_BYTES_MAX, READING));
  return bits === undefined || ((bits[1] ?? 0) & CRL_SIGN) !== 0;
}

/** @returns unused-bits octet and bits; undefined without the extension. */
function keyUsageBits(value: der.Value): Uint8Array | undefined {
  if (value.content instanceof Uint8Array) return undefined;
  const [type, ...rest] = value.content;
  const wrapped = rest.at(-1)?.content;
  if (isKeyUsage(type) && wrapped instanceof Uint8Array) {
    const { content } = der.decodeBer(wrapped, CERTIFICATE_BYTES_MAX, READING);
    return content instanceof Uint8Array ? content : undefined;
  }
  for (const part of value.content) {
    const found = keyUsageBits(part);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isKeyUsage(value: der.Value | undefined): boolean {
  const { tag, content } = OID.keyUsage;
  if (value?.tag !== tag || !(value.content instanceof Uint8Array) || !(content instanceof Uint8Array)) return false;
  return Buffer.from(value.content).equals(content);
}
