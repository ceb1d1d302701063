// Issuing one X.509 v3 certificate (RFC 5280), signed with ECDSA-SHA256. The caller chooses its
// content.
import { createHash, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIPv4, isIPv6 } from "node:net";
import { der } from "../../provisioning/x509/format/index.ts";
import { OID } from "./oids.ts";

export interface CertificateContent {
  readonly subject: der.Value;
  readonly issuer: der.Value;
  /** DER SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  /** The issuer's public key, for the authority key identifier. */
  readonly issuerPublicKey: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly kind: "authority" | "server" | "client";
  /** Subject alternative names; none means no extension. */
  readonly names: readonly der.Value[];
  /** [ID-93] Where the list of revoked certificates can be had. */
  readonly crlUrl?: string | undefined;
}

const SPKI_BYTES_MAX = 1024;
const READING = { code: "x509.invalid", what: "public key" } as const;

/** @returns the certificate, DER, and its serial: 32 hex digits. */
export function issue(content: CertificateContent, issuerKey: KeyObject): { readonly serial: string; readonly der: Uint8Array } {
  const serial = randomBytes(16);
  // Positive and always 16 octets, so that every tool prints it alike.
  serial[0] = 0x40 | ((serial[0] ?? 0) & 0x3f);
  const toBeSigned = der.sequence(
    der.context(0, der.integer(2)),
    der.integer(serial),
    der.sequence(OID.ecdsaWithSha256),
    content.issuer,
    der.sequence(der.time(content.notBeforeMs), der.time(content.notAfterMs)),
    content.subject,
    der.decode(content.publicKey, SPKI_BYTES_MAX, READING),
    der.context(3, der.sequence(...extensions(content))),
  );
  const signature = sign("sha256", der.encode(toBeSigned), { key: issuerKey, dsaEncoding: "der" });
  return {
    serial: serial.toString("hex"),
    der: der.encode(der.sequence(toBeSigned, der.sequence(OID.ecdsaWithSha256), der.bitString(signature))),
  };
}

function extensions(content: CertificateContent): readonly der.Value[] {
  const authority = content.kind === "authority";
  const list = [
    extension(OID.basicConstraints, true, der.sequence(...(authority ? [der.boolean(true), der.integer(0)] : []))),
    // Named bits from the left: keyCertSign and cRLSign, or digitalSignature.
    extension(OID.keyUsage, true, authority ? der.bitString(Buffer.of(0x06), 1) : der.bitString(Buffer.of(0x80), 7)),
    extension(OID.subjectKeyIdentifier, false, der.octetString(keyIdentifier(content.publicKey))),
    extension(OID.authorityKeyIdentifier, false, der.sequence(der.contextPrimitive(0, keyIdentifier(content.issuerPublicKey)))),
  ];
  if (!authority)
    list.push(extension(OID.extendedKeyUsage, false, der.sequence(content.kind === "server" ? OID.serverAuth : OID.clientAuth)));
  if (content.names.length > 0) list.push(extension(OID.subjectAltName, false, der.sequence(...content.names)));
  if (content.crlUrl !== undefined)
    list.push(extension(OID.crlDistributionPoints, false, der.sequence(distributionPoint(content.crlUrl))));
  return list;
}

/** RFC 5280 section 4.2.1.13: DistributionPoint { [0] { [0] { uniformResourceIdentifier } } }. */
function distributionPoint(url: string): der.Value {
  return der.sequence(der.context(0, der.context(0, uriName(url))));
}

export function extension(oid: der.Value, critical: boolean, value: der.Value): der.Value {
  return der.sequence(oid, ...(critical ? [der.boolean(true)] : []), der.octetString(der.encode(value)));
}

/** RFC 7093 section 2, method 1: the first 160 bits of SHA-256 over the key. */
export function keyIdentifier(spki: Uint8Array): Uint8Array {
  return createHash("sha256").update(spki).digest().subarray(0, 20);
}

/** A name with one attribute per relative distinguished name, in the given order. */
export function distinguishedName(...attributes: readonly { readonly oid: der.Value; readonly value: der.Value }[]): der.Value {
  return der.sequence(...attributes.map(({ oid, value }) => der.setOf(der.sequence(oid, value))));
}

export function uriName(uri: string): der.Value {
  return der.contextPrimitive(6, Buffer.from(uri, "latin1"));
}

/** A DNS name, or an address when `host` is one (RFC 5280 section 4.2.1.6). */
export function hostName(host: string): der.Value {
  if (isIPv4(host)) return der.contextPrimitive(7, Buffer.from(host.split(".").map(Number)));
  return isIPv6(host) ? der.contextPrimitive(7, ipv6Octets(host)) : der.contextPrimitive(2, Buffer.from(host));
}

/** @param host in hexadecimal groups, as hostSchema reads it. */
function ipv6Octets(host: string): Buffer {
  const [before = [], after] = host.split("::").map((half) => half.split(":").filter((group) => group !== ""));
  const rest = after ?? [];
  const groups = [...before, ...Array<string>(8 - before.length - rest.length).fill("0"), ...rest];
  return Buffer.from(groups.map((group) => group.padStart(4, "0")).join(""), "hex");
}

export function pem(certificate: Uint8Array): string {
  const lines =
    Buffer.from(certificate)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}
