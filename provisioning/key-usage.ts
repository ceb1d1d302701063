// The purposes that a certificate allows. Node exposes the extended key usages; the key usage bits
// are read from the DER.
import type { X509Certificate } from "node:crypto";
import { der } from "./x509/format/index.ts";

export const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
export const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";

/**
 * The usage must be named. A certificate without extended usages is good for everything, which ours
 * never are.
 */
export function isFor(certificate: X509Certificate, usage: typeof SERVER_AUTH | typeof CLIENT_AUTH): boolean {
  return extendedUsages(certificate).includes(usage);
}

/**
 * Node's `keyUsage` is the *extended* key usage, and undefined when there is none, contrary to the
 * typings.
 */
function extendedUsages(certificate: { readonly keyUsage: readonly string[] | undefined }): readonly string[] {
  return certificate.keyUsage ?? [];
}

const KEY_USAGE = Buffer.from(der.encode(der.oid("2.5.29.15")));
// bit 0 is the highest of the first octet (RFC 5280 section 4.2.1.3)
const DIGITAL_SIGNATURE = 0x80;
const EXTENSIONS = 0xa3;

/**
 * True when the key may sign, as TLS 1.3 needs: the key usage allows it, or there is no key usage.
 * @throws Fault `x509.invalid` for a certificate that is not the expected ASN.1.
 */
export function maySign(certificate: X509Certificate): boolean {
  const usage = keyUsage(certificate.raw);
  return usage === undefined || ((usage[1] ?? 0) & DIGITAL_SIGNATURE) !== 0;
}

/** @returns the octets of the BIT STRING: the number of unused bits, then the bits. */
function keyUsage(raw: Uint8Array): Uint8Array | undefined {
  const reading = { code: "x509.invalid", what: "certificate" } as const;
  const [body] = partsOf(der.decodeBer(raw, raw.byteLength, reading));
  const tagged = partsOf(body).find((part) => part.tag === EXTENSIONS);
  for (const extension of partsOf(partsOf(tagged)[0])) {
    const [id, ...rest] = partsOf(extension);
    const value = rest.at(-1);
    if (id === undefined || !KEY_USAGE.equals(der.encode(id)) || !(value?.content instanceof Uint8Array)) continue;
    const bits = der.decodeBer(value.content, raw.byteLength, reading);
    return bits.content instanceof Uint8Array ? bits.content : Buffer.alloc(0);
  }
  return undefined;
}

function partsOf(value: der.Value | undefined): readonly der.Value[] {
  return value === undefined || value.content instanceof Uint8Array ? [] : value.content;
}
