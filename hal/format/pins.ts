// The pinned authorities: the one reader of them. Whatever is proven against a pin (TLS to every
// service of the hub, the answers of EST, hub time, certificates on disk) is proven against this
// list. [ID-80]
import { X509Certificate } from "node:crypto";
import { Fault } from "../fault.ts";

/** Old and new authority of each of several services. */
export const PINS_MAX = 8;
/**
 * Room for {@link PINS_MAX} certificates with keys and signatures of RSA-4096, each with 2 KiB of
 * extensions and of text around it.
 */
export const PINS_CHARACTERS_MAX = 40_960;

const BLOCK = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----([^-]*)-----END (?:X509 |TRUSTED )?CERTIFICATE-----/gu;
/** Of a bundle that holds more than certificates. */
const OTHER_BLOCK = /-----BEGIN (?!(?:X509 )?CERTIFICATE-----)([A-Z0-9 ]{1,40})-----/u;

/**
 * Reads PEM certificates. Text between them, as openssl and bundles write it, is ignored.
 * @returns DER of each, in their order; it may not be a certificate.
 */
export function certificateBlocks(pem: string): readonly Buffer[] {
  return [...pem.matchAll(BLOCK)].map(([, digits = ""]) => Buffer.from(digits.replaceAll(/\s/gu, ""), "base64"));
}

/**
 * @param pem one to {@link PINS_MAX} authorities, in any order. One that is not self-signed is a
 *   pin as any other: nothing above it is asked for.
 * @throws Fault `x509.invalid` for none, too many, and what is not an authority's certificate.
 */
export function readPins(pem: string): readonly X509Certificate[] {
  const other = OTHER_BLOCK.exec(pem)?.[1];
  if (other !== undefined) throw refused(`it holds a ${other}, expected certificates only`);
  const blocks = certificateBlocks(pem);
  if (blocks.length === 0) throw refused("it holds no PEM certificate");
  if (blocks.length > PINS_MAX) throw refused(`it holds ${blocks.length} certificates, at most ${PINS_MAX} are accepted`);
  return blocks.map((block, index) => authorityIn(block, `certificate ${index + 1} of ${blocks.length}`));
}

/**
 * What TLS must trust: the pins alone, each by itself. Without partial chains OpenSSL accepts a
 * self-signed anchor only, so a pinned issuing CA would prove nothing. Intermediates never belong
 * here, because whatever is in this list is an anchor. [ID-80]
 * @param first the pin that is asked first, where several have one name.
 * @throws Fault `x509.invalid` as {@link readPins}.
 */
export function tlsTrust(pem: string, first = 0): { readonly ca: string[]; readonly allowPartialTrustChain: true } {
  const ca = readPins(pem).map((pin) => pin.toString());
  return { ca: [...ca.slice(first), ...ca.slice(0, first)], allowPartialTrustChain: true };
}

/**
 * [ID-81] Two certificates are of the same authority when subject and public key are the same: that
 * is what signatures are checked with, and what an issuer field names (RFC 5280 section 6.1.1 (d)).
 * Bytes, serial number, dates and the issuer may differ: a root is issued again with a later end,
 * or cross-signed by another.
 */
export function isSameAuthority(one: X509Certificate, other: X509Certificate): boolean {
  const key = publicKeyOf(one);
  return one.subject === other.subject && key !== undefined && publicKeyOf(other)?.equals(key) === true;
}

/** A name that fits proves nothing; the signature is what only the issuer can make. */
export function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && publicKeyOf(issuer) !== undefined && certificate.verify(issuer.publicKey);
}

/**
 * [ID-87] Pins of one name and different keys, as after a change of a root's key. OpenSSL tells
 * issuers of one name apart by the key identifier in what they have issued. Where there is none it
 * takes the first one, and never the second.
 */
export function haveOneName(pins: readonly X509Certificate[]): boolean {
  return pins.some((one) => pins.some((other) => one.subject === other.subject && !isSameAuthority(one, other)));
}

export function isSelfSigned(certificate: X509Certificate): boolean {
  return isIssuedBy(certificate, certificate);
}

/**
 * @returns DER SubjectPublicKeyInfo; undefined for a key of a kind that OpenSSL does not know,
 *   which proves nothing here and spoils nothing either.
 */
export function publicKeyOf(certificate: X509Certificate): Buffer | undefined {
  try {
    return certificate.publicKey.export({ format: "der", type: "spki" });
  } catch {
    return undefined;
  }
}

function authorityIn(block: Uint8Array, which: string): X509Certificate {
  const certificate = parse(block, which);
  if (publicKeyOf(certificate) === undefined) throw refused(`${which} has a key of a kind that is not known`);
  // Certificates of version 1 cannot say what they are for. OpenSSL takes self-signed ones.
  if (certificate.ca || (isVersion1(certificate) && isSelfSigned(certificate))) return certificate;
  const name = certificate.subject.replaceAll("\n", ", ");
  throw refused(`${which} (${name}) is not an authority's (basicConstraints CA); pin the authority that issued it`);
}

function parse(block: Uint8Array, which: string): X509Certificate {
  try {
    return new X509Certificate(block);
  } catch (error) {
    throw new Fault("x509.invalid", `read pinned authorities: ${which} is not an X.509 certificate`, { cause: error });
  }
}

const SEQUENCE_HEADER_BYTES_MIN = 2;
const VERSION = 0xa0;

/** RFC 5280 section 4.1: only version 1 leaves out its number, which comes first. */
function isVersion1({ raw }: X509Certificate): boolean {
  const body = raw.subarray(headerBytes(raw));
  return body[headerBytes(body)] !== VERSION;
}

/** @returns the octets of tag and length (X.690 section 8.1.3). */
function headerBytes([, length = 0]: Uint8Array): number {
  return SEQUENCE_HEADER_BYTES_MIN + (length > 0x80 ? length - 0x80 : 0);
}

function refused(why: string): Fault {
  return new Fault("x509.invalid", `read pinned authorities: ${why}`);
}
