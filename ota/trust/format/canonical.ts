// Canonical JSON as TUF signs it: the OLPC form (wiki.laptop.org/go/Canonical_JSON) as
// securesystemslib writes it. It differs from RFC 8785: only quotes and backslashes are escaped,
// members are sorted by code point, and there are no fractions. TUF section 4.1. [OTA-2]
import { Fault } from "../../../hal/fault.ts";

/**
 * The bytes under a signature, for a value that JSON.parse returned.
 * @throws Fault `trust.invalid` for a value without a canonical form: a fraction, an integer above
 *   2^53 - 1, a lone surrogate.
 */
export function canonicalBytes(value: unknown): Uint8Array {
  return Buffer.from(canonical(value));
}

function canonical(value: unknown): string {
  switch (typeof value) {
    case "string":
      return canonicalString(value);
    case "boolean":
      return String(value);
    case "number":
      if (!Number.isSafeInteger(value)) throw new Fault("trust.invalid", `no canonical form for the number ${value}`);
      return String(value);
    default:
      break;
  }
  if (value === null) return "null";
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item)).join(",")}]`;
  if (!isRecord(value)) throw new Fault("trust.invalid", `no canonical form for a ${typeof value}`);
  return `{${sortedNames(value)
    .map((name) => `${canonicalString(name)}:${canonical(value[name])}`)
    .join(",")}}`;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function canonicalString(text: string): string {
  if (!text.isWellFormed()) throw new Fault("trust.invalid", "no canonical form for a string with a lone surrogate");
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

/**
 * By code point. JavaScript compares UTF-16 code units, which is the same order unless a name has a
 * character above U+FFFF. Such names are encoded once each, because the order of UTF-8 bytes is
 * that of code points.
 */
function sortedNames(value: object): readonly string[] {
  const names = Object.keys(value);
  if (!names.some((name) => SURROGATE.test(name))) return names.sort();
  return names
    .map((name) => ({ name, bytes: Buffer.from(name) }))
    .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
    .map(({ name }) => name);
}

const SURROGATE = /[\ud800-\udfff]/;
