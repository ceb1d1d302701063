// JSON as it is signed and stored: bounded when it is read, canonical when it is written.
import { Fault } from "../fault.ts";

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue | undefined };

/** Deeper input is refused before it can exhaust the stack of code that walks it. */
export const JSON_DEPTH_MAX = 16;

/**
 * The canonical form of a value, RFC 8785 (JCS): members sorted by UTF-16 code units, no white
 * space, numbers as ECMAScript prints them. A member that is undefined is left out.
 * @throws Fault `json.invalid` for NaN, an infinity or a lone surrogate, which RFC 8785 section
 *   3.2.2 forbids.
 */
export function canonicalJson(value: JsonValue): string {
  if (typeof value === "number" && !Number.isFinite(value)) throw new Fault("json.invalid", `no JSON for the number ${value}`);
  if (typeof value === "string" && !value.isWellFormed())
    throw new Fault("json.invalid", "no JSON for a string with a lone surrogate");
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (isList(value)) return `[${value.map((item) => canonicalJson(item)).join(",")}]`;
  const members: string[] = [];
  for (const key of Object.keys(value).sort()) {
    const member = value[key];
    if (member !== undefined) members.push(`${canonicalJson(key)}:${canonicalJson(member)}`);
  }
  return `{${members.join(",")}}`;
}

/**
 * Parses bytes or text from outside: strict UTF-8, at most `bytesMax` bytes, at most
 * {@link JSON_DEPTH_MAX} levels deep.
 * @throws Fault `json.too-large` above the bound; `json.invalid` for anything that is not one JSON
 *   value.
 */
export function parseJson(input: Uint8Array | string, bytesMax: number, what: string): unknown {
  const length = typeof input === "string" ? Buffer.byteLength(input) : input.byteLength;
  if (length > bytesMax) throw new Fault("json.too-large", `${what} has ${length} bytes, at most ${bytesMax} are accepted`);
  try {
    const text = typeof input === "string" ? input : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(input);
    const value: unknown = JSON.parse(text);
    if (depthOf(value, 0) > JSON_DEPTH_MAX) throw new Fault("json.invalid", `it is more than ${JSON_DEPTH_MAX} levels deep`);
    return value;
  } catch (error) {
    throw new Fault(
      "json.invalid",
      `${what} is not the JSON expected: ${error instanceof Error ? error.message : "unreadable"}`,
      { cause: error },
    );
  }
}

/**
 * Like {@link parseJson}, and the bytes must be in canonical form, so that what is hashed or signed
 * has only one reading: no duplicate member, no second way to write a number.
 * @throws Fault `json.not-canonical`, besides those of parseJson.
 */
export function parseCanonicalJson(input: Uint8Array, bytesMax: number, what: string): unknown {
  const value = parseJson(input, bytesMax, what);
  if (!isJson(value) || !Buffer.from(canonicalJson(value)).equals(input))
    throw new Fault("json.not-canonical", `${what} is not in the canonical spelling of RFC 8785`);
  return value;
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}

/** JSON.parse returns only JSON. This check shows it to the type checker without a cast. */
export function isJson(value: unknown): value is JsonValue {
  if (value === null) return true;
  if (typeof value === "object") return Object.values(value).every((member) => isJson(member));
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}

/** Stops one level past the bound, so that hostile depth costs no stack. */
function depthOf(value: unknown, depth: number): number {
  if (value === null || typeof value !== "object" || depth > JSON_DEPTH_MAX) return depth;
  let deepest = depth + 1;
  for (const member of Object.values(value)) deepest = Math.max(deepest, depthOf(member, depth + 1));
  return deepest;
}
