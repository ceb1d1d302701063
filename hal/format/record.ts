// The envelope of state records: what an older and a newer program make of the same record. [STA-5]
//
// A record names its format version, `v`, and the oldest version whose programs may use it,
// `readable`. A device that falls back to its previous release meets records of the newer one: it
// uses what it may, and what it writes keeps the members that it does not know.
import type * as v from "valibot";
import { asFault, Fault, type FaultCode } from "../fault.ts";
import { canonicalJson, isJson, type JsonLimits, type JsonValue, parseCanonicalJson, parseJson } from "./json.ts";
import { check } from "./schema.ts";

export interface RecordFormat<T> {
  /** What the record is, for messages. */
  readonly what: string;
  /** The format of this program. */
  readonly version: number;
  /** The oldest format whose programs may use what this one writes. */
  readonly readable: number;
  readonly bytesMax: number;
  /** The members, `v` of this program's version among them. Strict: it names what is known. */
  readonly schema: v.GenericSchema<unknown, T>;
  /** `any` for a record that people may edit. Others must be canonical JSON. */
  readonly spelling?: "any";
  /** Where fewer values make sense than the bound in bytes permits. [STA-12] */
  readonly limits?: JsonLimits;
  /** Of a record that is damaged; by default the codes of JSON and schema. */
  readonly code?: FaultCode;
  /**
   * True for what must stay legible for ever (identity, lines, floors, counters): the known members
   * count whatever the versions say, as long as they have the known shape.
   */
  readonly legible?: true;
  /**
   * True where nothing is lost when this program replaces a record that it may not read. Any other
   * such record is never overwritten.
   */
  readonly replaceable?: true;
}

type JsonObject = Readonly<Record<string, JsonValue | undefined>>;

/**
 * @throws Fault `record.newer` for a record that only a newer program may use; `format.code`, or
 *   `json.*` and `schema.invalid`, for one that is damaged.
 */
export function decodeRecord<T>(bytes: Uint8Array, format: RecordFormat<T>): T {
  const { what, version, legible } = format;
  const raw = objectOf(bytes, format);
  const { v: written, readable, ...members } = raw;
  const isNewer = typeof written === "number" && Number.isSafeInteger(written) && written > version;
  if (!isNewer) return damaged(format, () => check(format.schema, { ...members, v: written }, what));
  const isUsable = typeof readable === "number" && readable <= version;
  if (isUsable || legible === true) {
    try {
      return check(format.schema, knownPart(format.schema, { ...members, v: version }), what);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
    }
  }
  throw new Fault(
    "record.newer",
    `${what} has format ${written} of a newer program, this one reads format ${version}; it stays as it is, and a release that reads it uses it again`,
  );
}

/**
 * @param before the bytes that are replaced, if there are any: what they have and this program does
 *   not know is kept, with their version.
 * @throws Fault `record.newer` when `before` may neither be used nor replaced.
 */
export function encodeRecord<T extends JsonObject>(value: T, format: RecordFormat<T>, before?: Uint8Array): Uint8Array {
  const own = { ...value, v: format.version, readable: format.readable };
  const raw = before === undefined ? undefined : newerRecord(before, format);
  return Buffer.from(canonicalJson(raw === undefined ? own : keepUnknown(format.schema, raw, own)));
}

function newerRecord<T>(before: Uint8Array, format: RecordFormat<T>): JsonObject | undefined {
  try {
    decodeRecord(before, format);
  } catch (error) {
    if (error instanceof Fault && error.code === "record.newer" && format.replaceable !== true) throw error;
    return undefined; // what is damaged is replaced
  }
  const raw = objectOf(before, format);
  return Number(raw["v"]) > format.version ? raw : undefined;
}

function objectOf<T>(bytes: Uint8Array, format: RecordFormat<T>): JsonObject {
  return damaged(format, () => {
    const parse = format.spelling === "any" ? parseJson : parseCanonicalJson;
    const raw = parse(bytes, format.bytesMax, format.what, format.limits);
    if (isJson(raw) && isObject(raw)) return raw;
    throw new Fault("json.invalid", `${format.what} is not a JSON object`);
  });
}

function damaged<R>({ what, code }: Pick<RecordFormat<unknown>, "what" | "code">, read: () => R): R {
  try {
    return read();
  } catch (error) {
    const fault = asFault(error, "schema.invalid", `read ${what}`);
    throw code === undefined || fault.code === code ? fault : new Fault(code, fault.message, { cause: error });
  }
}

/**
 * `after`, with what `before` has and `schema` does not know: members beside the known ones, also
 * in entries of a map, and whatever stands in a part, at any depth, whose known members are
 * unchanged. What stood in a part that has changed was about its former value, and goes with it.
 */
function keepUnknown(schema: unknown, before: JsonObject, after: JsonObject): JsonObject {
  const members: Record<string, JsonValue | undefined> = { ...after };
  for (const [name, value] of Object.entries(before)) {
    const member = memberOf(schema, name);
    const now = after[name];
    if (name === "v" || name === "readable") members[name] = value;
    else if (member === undefined) members[name] = value;
    else if (value !== undefined && now !== undefined) members[name] = keepWithin(member, value, now);
  }
  return members;
}

function keepWithin(schema: unknown, before: JsonValue, after: JsonValue): JsonValue {
  if (isSame(schema, before, after)) return before;
  if (Array.isArray(before) && Array.isArray(after)) return keepItems(part(unwrapped(schema), "item"), before, after);
  if (!isObject(before) || !isObject(after)) return after;
  const entry = part(unwrapped(schema), "value");
  const members = Object.entries(after).map(([name, now]) => {
    const was = before[name];
    if (was === undefined || now === undefined) return [name, now] as const;
    if (entry !== undefined && isObject(was) && isObject(now)) return [name, keepUnknown(entry, was, now)] as const;
    return [name, keepWithin(memberOf(schema, name, before), was, now)] as const;
  });
  return Object.fromEntries(members);
}

/** Items have no names: one is the same when its known members are. */
function keepItems(item: unknown, before: readonly JsonValue[], after: readonly JsonValue[]): JsonValue {
  const left = [...before];
  return after.map((now) => {
    const at = left.findIndex((was) => isSame(item, was, now));
    return at === -1 ? now : (left.splice(at, 1)[0] ?? now);
  });
}

function isSame(schema: unknown, before: JsonValue, after: JsonValue): boolean {
  return canonicalJson(knownPart(schema, before) ?? null) === canonicalJson(after);
}

/** `value` without the members that `schema` does not know. */
function knownPart(schema: unknown, value: JsonValue | undefined): JsonValue | undefined {
  if (Array.isArray(value)) {
    const item = part(unwrapped(schema), "item");
    return value.map((each: JsonValue) => (item === undefined ? each : (knownPart(item, each) ?? null)));
  }
  if (!isObject(value) || !isObjectSchema(schema)) return value;
  const known = Object.entries(value).flatMap(([name, each]) => {
    const member = memberOf(schema, name, value);
    return member === undefined ? [] : [[name, knownPart(member, each)] as const];
  });
  return Object.fromEntries(known);
}

/** The schema of a member: of an object, of a map, or of the fitting one of several objects. */
function memberOf(schema: unknown, name: string, within?: JsonObject): unknown {
  const known = unwrapped(schema);
  const entries = part(known, "entries");
  if (isMap(entries)) return Object.hasOwn(entries, name) ? entries[name] : undefined;
  const options = part(known, "options");
  if (Array.isArray(options)) return memberOf(optionFor(options, String(part(known, "key")), within), name, within);
  return part(known, "value");
}

function optionFor(options: readonly unknown[], key: string, within: JsonObject | undefined): unknown {
  return options.find((option) => {
    const entries = part(option, "entries");
    return isMap(entries) && part(entries[key], "literal") === within?.[key];
  });
}

function isObjectSchema(schema: unknown): boolean {
  const known = unwrapped(schema);
  return isMap(part(known, "entries")) || isMap(part(known, "value")) || Array.isArray(part(known, "options"));
}

/** The schema of what an optional one wraps. */
function unwrapped(schema: unknown): unknown {
  const wrapped = part(schema, "wrapped");
  return wrapped === undefined ? schema : unwrapped(wrapped);
}

/** valibot describes its schemas by such members; a pipe has those of its first schema. */
function part(schema: unknown, name: string): unknown {
  return isMap(schema) ? schema[name] : undefined;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
