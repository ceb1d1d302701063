// Taking ASN.1 values apart. Each step reports what it expected and where.
import { Fault } from "../../../hal/fault.ts";
import type { Reading, Value } from "./der.ts";
import { TAG } from "./der.ts";

/** The parts of a constructed value. @throws Fault with the reading's code for another tag. */
export function parts(value: Value | undefined, tag: number, where: string, reading: Reading): readonly Value[] {
  if (value === undefined || value.tag !== tag || value.content instanceof Uint8Array)
    throw unexpected(value, tag, where, reading);
  return value.content;
}

/**
 * The content octets of a primitive value.
 * @throws Fault with the reading's code for another tag.
 */
export function octets(value: Value | undefined, tag: number, where: string, reading: Reading): Uint8Array {
  if (value === undefined || value.tag !== tag || !(value.content instanceof Uint8Array))
    throw unexpected(value, tag, where, reading);
  return value.content;
}

/**
 * A UTF8String or PrintableString, the types that names have (RFC 5280 section 4.1.2.4).
 * @throws Fault with the reading's code.
 */
export function text(value: Value | undefined, where: string, reading: Reading): string {
  const tag = value?.tag === TAG.printableString ? TAG.printableString : TAG.utf8String;
  const bytes = octets(value, tag, where, reading);
  const decoded = Buffer.from(bytes).toString("utf8");
  if (!Buffer.from(decoded, "utf8").equals(bytes)) throw new Fault(reading.code, `read ${reading.what}: ${where} is not UTF-8`);
  return decoded;
}

/**
 * True when an OBJECT IDENTIFIER is `oid`. Octets are compared, so there is no dotted notation to
 * get wrong.
 */
export function isOid(value: Value | undefined, oid: Value): boolean {
  return (
    value !== undefined &&
    value.tag === TAG.oid &&
    value.content instanceof Uint8Array &&
    oid.content instanceof Uint8Array &&
    Buffer.from(value.content).equals(oid.content)
  );
}

function unexpected(value: Value | undefined, tag: number, where: string, reading: Reading): Fault {
  const got = value === undefined ? "nothing" : `tag 0x${value.tag.toString(16).padStart(2, "0")}`;
  return new Fault(
    reading.code,
    `read ${reading.what}: expected tag 0x${tag.toString(16).padStart(2, "0")} for ${where}, got ${got}`,
  );
}
