// ASN.1 values and their only canonical encoding, DER (X.690). node-forge's ASN.1 module underneath
// reads any BER; the strictness is added here.
import asn1, { type Asn1 } from "node-forge/lib/asn1.js";
import { Fault, type FaultCode } from "../../../hal/fault.ts";
import { DER_BYTES_PER_VALUE, DER_DEPTH_MAX, DER_VALUES_MAX, DER_VALUES_MIN } from "./limits.ts";

/**
 * One ASN.1 value. `tag` is the identifier octet: class, constructed bit and number. Numbers above
 * 30 are not supported; X.509 has none.
 */
export interface Value {
  readonly tag: number;
  /** The content octets of a primitive value, or the parts of a constructed one. */
  readonly content: Uint8Array | readonly Value[];
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

const CONSTRUCTED = 0x20;
const CONTEXT_SPECIFIC = 0x80;

export function encode(value: Value): Uint8Array {
  return Buffer.from(asn1.toDer(toForge(value)).getBytes(), "latin1");
}

/** Who reads, for the fault: its code, and the name of the input in its message. */
export interface Reading {
  readonly code: FaultCode;
  readonly what: string;
}

/**
 * Decodes bytes that must be DER up to the last one: forge reads them, and writing what it read
 * must give the same bytes.
 * @throws Fault with the reading's code.
 */
export function decode(bytes: Uint8Array, bytesMax: number, reading: Reading): Value {
  const value = decodeBer(bytes, bytesMax, reading);
  if (!Buffer.from(encode(value)).equals(bytes))
    throw new Fault(
      reading.code,
      `read ${reading.what}: it is BER but not DER (X.690 section 10), so its bytes have more than one reading`,
    );
  return value;
}

/**
 * Decodes bytes in any BER encoding, including indefinite lengths.
 * @throws Fault with the reading's code.
 */
export function decodeBer(bytes: Uint8Array, bytesMax: number, reading: Reading): Value {
  if (bytes.byteLength > bytesMax)
    throw new Fault(reading.code, `read ${reading.what}: it has ${bytes.byteLength} bytes, at most ${bytesMax} are accepted`);
  const valuesMax = Math.max(DER_VALUES_MIN, Math.floor(bytesMax / DER_BYTES_PER_VALUE));
  expectFewValues(bytes, Math.min(DER_VALUES_MAX, valuesMax), reading);
  try {
    const options = { strict: true, parseAllBytes: true, decodeBitStrings: false, maxDepth: DER_DEPTH_MAX };
    return fromForge(asn1.fromDer(Buffer.from(bytes).toString("latin1"), options));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Fault(reading.code, `read ${reading.what}: it is not the expected ASN.1: ${why}`, { cause: error });
  }
}

/**
 * Counts the values before forge makes an object of each: 64 KiB hold 32,000 of two bytes. A length
 * that is not plausible ends the count; forge refuses it. [STA-12]
 * @throws Fault with the reading's code.
 */
function expectFewValues(bytes: Uint8Array, valuesMax: number, { code, what }: Reading): void {
  let count = 0;
  for (let at = 0; at + 1 < bytes.byteLength; count += 1) {
    if (count >= valuesMax) throw new Fault(code, `read ${what}: it has more than ${valuesMax} values`);
    const isConstructed = ((bytes[at] ?? 0) & CONSTRUCTED) !== 0;
    const first = bytes[at + 1] ?? 0;
    const lengthOctets = first > 0x80 ? first & 0x7f : 0;
    if (lengthOctets > 4) return;
    let length = first < 0x80 ? first : 0;
    for (let octet = 0; octet < lengthOctets; octet += 1) length = length * 256 + (bytes[at + 2 + octet] ?? 0);
    at += 2 + lengthOctets + (isConstructed ? 0 : length);
  }
}

function toForge(value: Value): Asn1 {
  const tagClass = value.tag & 0xc0;
  const type = value.tag & 0x1f;
  if (value.content instanceof Uint8Array) return asn1.create(tagClass, type, false, toCharacters(type, value.content));
  return asn1.create(
    tagClass,
    type,
    true,
    value.content.map((part) => toForge(part)),
  );
}

function fromForge(node: Asn1): Value {
  const tag = node.tagClass | node.type;
  if (typeof node.value === "string") return { tag, content: fromCharacters(node.type, node.value) };
  return { tag: tag | CONSTRUCTED, content: node.value.map((part) => fromForge(part)) };
}

/**
 * Forge holds one octet in each character, except for tag number 30, BMPString, where a character
 * holds two.
 */
const BMP_STRING = 30;

function toCharacters(type: number, octets: Uint8Array): string {
  return type === BMP_STRING ? Buffer.from(octets).swap16().toString("utf16le") : Buffer.from(octets).toString("latin1");
}

function fromCharacters(type: number, characters: string): Uint8Array {
  return type === BMP_STRING ? Buffer.from(characters, "utf16le").swap16() : Buffer.from(characters, "latin1");
}

export function sequence(...parts: readonly Value[]): Value {
  return { tag: TAG.sequence, content: parts };
}

/** SET OF: DER orders the parts by their encoding (X.690 section 11.6). */
export function setOf(...parts: readonly Value[]): Value {
  return { tag: TAG.set, content: inDerOrder(parts) };
}

export function inDerOrder(parts: readonly Value[]): readonly Value[] {
  return parts.toSorted((a, b) => Buffer.compare(encode(a), encode(b)));
}

/**
 * Context-specific and constructed: `[n] EXPLICIT` of one part, or `[n] IMPLICIT` of a SEQUENCE or
 * SET of parts.
 */
export function context(number: number, ...parts: readonly Value[]): Value {
  return { tag: CONTEXT_SPECIFIC | CONSTRUCTED | number, content: parts };
}

/** Context-specific and primitive: `[n] IMPLICIT` of a string. */
export function contextPrimitive(number: number, content: Uint8Array): Value {
  return { tag: CONTEXT_SPECIFIC | number, content };
}

/** From dotted notation. Every arc is below 2^32. */
export function oid(dotted: string): Value {
  return { tag: TAG.oid, content: Buffer.from(asn1.oidToDer(dotted).getBytes(), "latin1") };
}

/**
 * A non-negative INTEGER, from its value or from its big-endian magnitude (a certificate's serial
 * number).
 */
export function integer(value: number | Uint8Array): Value {
  const magnitude = typeof value === "number" ? Buffer.from(value.toString(16).padStart(14, "0"), "hex") : Buffer.from(value);
  const from = magnitude.findIndex((byte) => byte !== 0);
  const minimal = from < 0 ? Buffer.of(0) : magnitude.subarray(from);
  // it would read as negative: a zero octet goes in front
  const negative = (minimal[0] ?? 0) >= 0x80;
  return { tag: TAG.integer, content: negative ? Buffer.concat([Buffer.of(0), minimal]) : minimal };
}

export function boolean(value: boolean): Value {
  return { tag: TAG.boolean, content: Buffer.of(value ? 0xff : 0) };
}

export function octetString(bytes: Uint8Array): Value {
  return { tag: TAG.octetString, content: bytes };
}

/**
 * The lowest `unusedBits` bits of the last octet do not count (a named bit list such as KeyUsage)
 * and must be zero.
 */
export function bitString(bytes: Uint8Array, unusedBits = 0): Value {
  return { tag: TAG.bitString, content: Buffer.concat([Buffer.of(unusedBits), bytes]) };
}

export function utf8String(text: string): Value {
  return { tag: TAG.utf8String, content: Buffer.from(text, "utf8") };
}

/** The characters of X.680 section 41.4, see {@link isPrintable}. */
export function printableString(text: string): Value {
  return { tag: TAG.printableString, content: Buffer.from(text, "latin1") };
}

export function isPrintable(text: string): boolean {
  return /^[A-Za-z0-9 '()+,./:=?-]+$/.test(text);
}

/** UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5), whole seconds, UTC. */
export function time(unixMs: number): Value {
  const digits = new Date(unixMs).toISOString().replaceAll(/[-:T]|\.\d{3}Z$/g, "");
  const utc = Number(digits.slice(0, 4)) < 2050;
  return {
    tag: utc ? TAG.utcTime : TAG.generalizedTime,
    content: Buffer.from(`${utc ? digits.slice(2) : digits}Z`, "latin1"),
  };
}
