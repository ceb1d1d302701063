// JSON as it is signed and stored: bounded when it is read, canonical when it is written.
import { Fault } from "../fault.ts";
import { printable, type Quoting } from "./text.ts";

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
 * Bytes of an input's bound for each value, each member and each object that it may hold. A member
 * costs more than a value, and an object most, because V8 makes a hidden class for each new set of
 * names: 20,000 of them in 220 kB took 100 ms. What we sign and send is less dense. [STA-12]
 */
const BYTES_PER_VALUE = 12;
const BYTES_PER_MEMBER = 28;
const BYTES_PER_OBJECT = 64;
/** What every input may hold, however small its bound is. */
const VALUES_MIN = 256;
const OBJECTS_MIN = 64;
const ERROR_CHARACTERS_MAX = 160;

/** Values that a request or a hint may hold: a handful of members, and a list of some paths. */
export const REQUEST_VALUES_MAX = 256;
/** Values of a report or an answer, which may list records and readings. */
export const REPORT_VALUES_MAX = 4096;

export interface JsonLimits {
  /** Values of every kind together, where fewer than the bound in bytes permits make sense. */
  readonly valuesMax?: number;
  /** Members of all objects together. */
  readonly membersMax?: number;
  /**
   * [LCK-66] `refused`: no object may name a member twice. JSON.parse takes the last one, silently,
   * which is not what the author of a file meant, nor what another program reads in it (RFC 8259,
   * section 4). For what people write; what programs sign is canonical.
   */
  readonly duplicates?: "refused";
  /** Whether the message of a refusal may quote a few characters of the input. [STA-11] */
  readonly quoting?: Quoting;
}

/**
 * Parses bytes or text from outside: strict UTF-8, at most `bytesMax` bytes, at most
 * {@link JSON_DEPTH_MAX} levels deep, with values, members and objects in proportion to `bytesMax`.
 * Depth and counts are known before anything is built. [STA-12]
 * @throws Fault `json.too-large` above the bound; `json.invalid` for anything that is not one JSON
 *   value.
 */
export function parseJson(input: Uint8Array | string, bytesMax: number, what: string, limits: JsonLimits = {}): unknown {
  const length = typeof input === "string" ? Buffer.byteLength(input) : input.byteLength;
  if (length > bytesMax) throw new Fault("json.too-large", `${what} has ${length} bytes, at most ${bytesMax} are accepted`);
  const refused = (reason: string, cause?: unknown) =>
    new Fault("json.invalid", `${what} is not the JSON expected: ${reason}`, cause === undefined ? {} : { cause });
  const text = typeof input === "string" ? input : utf8(input);
  if (text === undefined) throw refused(isUtf16(input) ? `it is UTF-16; ${SAVE}` : "it is not UTF-8");
  // [LCK-65] RFC 8259, section 8.1: it must not be there. A parser's own message shows nothing.
  if (text.charCodeAt(0) === BYTE_ORDER_MARK) throw refused(`it begins with a byte order mark; ${SAVE}`);
  const excess = excessOf(text, boundsOf(bytesMax, limits));
  if (excess !== undefined) throw refused(excess);
  try {
    const value: unknown = JSON.parse(text);
    const twice = limits.duplicates === "refused" ? duplicateOf(text) : undefined;
    if (twice === undefined) return value;
    throw refused(limits.quoting === "withheld" ? "it names a member twice" : `it names the member "${twice}" twice`);
  } catch (error) {
    if (error instanceof Fault) throw error;
    if (!(error instanceof SyntaxError) || limits.quoting === "withheld") throw refused("it is not JSON");
    throw refused(printable(error.message, ERROR_CHARACTERS_MAX), error);
  }
}

const BYTE_ORDER_MARK = 0xfeff;
const SAVE = "save it as UTF-8 without a byte order mark";

function isUtf16(input: Uint8Array | string): boolean {
  return typeof input !== "string" && (input[0] ?? 0) + (input[1] ?? 0) === 0xff + 0xfe;
}

function utf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

interface Counts {
  readonly values: number;
  readonly members: number;
  readonly objects: number;
}

function boundsOf(bytesMax: number, { valuesMax = Infinity, membersMax = Infinity }: JsonLimits): Counts {
  const share = (bytesEach: number, min: number) => Math.max(min, Math.floor(bytesMax / bytesEach));
  return {
    values: Math.min(share(BYTES_PER_VALUE, VALUES_MIN), valuesMax),
    members: Math.min(share(BYTES_PER_MEMBER, VALUES_MIN), membersMax),
    objects: share(BYTES_PER_OBJECT, OBJECTS_MIN),
  };
}

/**
 * One pass over the text, without building anything; it ends where a bound is passed.
 * @returns why the text is refused. A text that is not JSON may pass; the parser refuses it.
 */
function excessOf(text: string, max: Counts): string | undefined {
  let [values, members, objects, depth] = [1, 0, 0, 0];
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at);
        continue;
      case COMMA:
        values += 1;
        break;
      case COLON:
        members += 1;
        break;
      case OBJECT_OPEN:
        objects += 1;
        values += 1;
        depth += 1;
        break;
      case LIST_OPEN:
        values += 1;
        depth += 1;
        break;
      case OBJECT_CLOSE:
      case LIST_CLOSE:
        depth -= 1;
        continue;
      default:
        continue;
    }
    if (depth > JSON_DEPTH_MAX) return `it is more than ${JSON_DEPTH_MAX} levels deep`;
    if (values > max.values) return `it has more than ${max.values} values`;
    if (members > max.members) return `it has more than ${max.members} members`;
    if (objects > max.objects) return `it has more than ${max.objects} objects`;
  }
  return undefined;
}

/**
 * @param text valid JSON: a text before a colon is the name of a member.
 * @returns the first name that its object has twice, printable.
 */
function duplicateOf(text: string): string | undefined {
  const open: Set<string>[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit === OBJECT_OPEN) open.push(new Set());
    else if (unit === OBJECT_CLOSE) open.pop();
    if (unit !== QUOTE) continue;
    const end = endOfString(text, at);
    const name: unknown = JSON.parse(text.slice(at, end + 1));
    at = end;
    const members = open.at(-1);
    if (members === undefined || typeof name !== "string" || !isBeforeColon(text, end + 1)) continue;
    if (members.has(name)) return printable(name, ERROR_CHARACTERS_MAX);
    members.add(name);
  }
  return undefined;
}

function isBeforeColon(text: string, from: number): boolean {
  let at = from;
  while (text.charCodeAt(at) <= 0x20) at += 1; // RFC 8259, section 2: what is below is white space
  return text.charCodeAt(at) === COLON;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const LIST_OPEN = 0x5b;
const LIST_CLOSE = 0x5d;
const OBJECT_OPEN = 0x7b;
const OBJECT_CLOSE = 0x7d;

/** The index of the closing quote; the end of the text when there is none. */
function endOfString(text: string, open: number): number {
  for (let at = open + 1; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) return at;
    if (unit === BACKSLASH) at += 1;
  }
  return text.length;
}

/**
 * Like {@link parseJson}, and the bytes must be in canonical form, so that what is hashed or signed
 * has only one reading: no duplicate member, no second way to write a number.
 * @throws Fault `json.not-canonical`, besides those of parseJson.
 */
export function parseCanonicalJson(input: Uint8Array, bytesMax: number, what: string, limits: JsonLimits = {}): unknown {
  const value = parseJson(input, bytesMax, what, limits);
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
