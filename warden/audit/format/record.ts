// One audit record: the six fields of IEC 62443-4-2 CR 2.8, and what is needed to order and
// correlate records. [AUD-1] [AUD-2] [AUD-3]
import * as v from "valibot";
import { Fault } from "../../../hal/fault.ts";
import { canonicalJson, parseCanonicalJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { clipBytes } from "../../../hal/format/text.ts";
import { AUDIT_CATEGORIES, AUDIT_EVENTS, AUDIT_SEVERITIES, isAuditEventName } from "./events.ts";

/** A whole record, encoded. A protocol line of 64 KiB has room for seven of them. */
export const AUDIT_RECORD_BYTES_MAX = 4096;
export const AUDIT_DETAIL_MEMBERS_MAX = 16;

/**
 * Canonical JSON has no form for a lone surrogate (RFC 8785 section 3.2.2). It is refused here,
 * where the reporter still gets the fault. Reporters cut text with `clip`, which never cuts inside
 * a character.
 */
const wellFormed = v.check(
  (text: string) => text.isWellFormed(),
  "expected well-formed text: a lone surrogate has no canonical JSON",
);

/**
 * Flat on purpose: an auditor reads it in a table, and a SIEM maps it without a parser. It holds no
 * secrets and no command lines.
 */
export const auditDetailSchema = v.pipe(
  v.record(
    v.pipe(v.string(), v.regex(/^[a-z][A-Za-z0-9]{0,31}$/, "expected a camelCase name of at most 32 letters")),
    v.union(
      [v.pipe(v.string(), v.maxLength(512), wellFormed), v.pipe(v.number(), v.safeInteger()), v.boolean()],
      "expected a text of at most 512 characters, a safe integer or a boolean",
    ),
  ),
  v.maxEntries(AUDIT_DETAIL_MEMBERS_MAX),
);
export type AuditDetail = v.InferOutput<typeof auditDetailSchema>;

export const auditResultSchema = v.picklist(["ok", "refused", "failed"]);

const eventNameSchema = v.pipe(
  v.string(),
  v.check((name) => isAuditEventName(name), "expected an event of the catalogue"),
  v.guard(isAuditEventName),
);

/**
 * What the reporter of an event says about it. The warden adds time, position in the log and
 * source.
 */
export const auditEntrySchema = v.strictObject({
  event: eventNameSchema,
  result: auditResultSchema,
  /** The principal who caused the event, if any. */
  principal: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(128), wellFormed)),
  /** Ties the records of one operation, order or session together. */
  correlation: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(64), wellFormed)),
  detail: v.optional(auditDetailSchema),
});
export type AuditEntry = v.InferOutput<typeof auditEntrySchema>;

const safeCount = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** A day that exists, in the only spelling that we write. */
function isInstant(text: string): boolean {
  const ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isFinite(ms) && new Date(ms).toISOString() === text;
}

/**
 * A name as in the catalogue. A reader may be older than the writer, so a record may name an event
 * that the reader's catalogue does not have.
 */
const recordedEventSchema = v.pipe(v.string(), v.maxLength(64), v.regex(/^[a-z]+(?:[.-][a-z]+)+$/, "expected an event's name"));

export const auditRecordSchema = v.strictObject({
  v: v.literal(1),
  /** Index of the leaf in the tree, from 0, without gaps. */
  seq: safeCount,
  /** The wall clock, RFC 3339 UTC with milliseconds. It may be wrong: see `synced`. */
  at: v.pipe(v.string(), v.check(isInstant, "expected RFC 3339 UTC with milliseconds")),
  /**
   * Milliseconds since boot. They order the records of one boot even when the wall clock jumped.
   */
  mono: safeCount,
  /** The kernel's boot id. */
  boot: v.pipe(v.string(), v.regex(/^[0-9a-f-]{1,36}$/)),
  /** True when the wall clock was set from signed hub time in this boot. */
  synced: v.boolean(),
  source: v.picklist(["warden", "agent"]),
  category: v.picklist(AUDIT_CATEGORIES),
  severity: v.picklist(AUDIT_SEVERITIES),
  /** The catalogue's number of `event`. */
  id: safeCount,
  ...auditEntrySchema.entries,
  event: recordedEventSchema,
});
export type AuditRecord = v.InferOutput<typeof auditRecordSchema>;

/** 9999-12-31T23:59:59.999Z: RFC 3339 ends there, and a broken clock may be beyond it. */
const AT_MS_MAX = 253_402_300_799_999;

/** What the warden knows when it appends. */
export interface AuditContext {
  readonly seq: number;
  readonly atMs: number;
  readonly monotonicMs: number;
  readonly bootId: string;
  readonly clockSynced: boolean;
}

/**
 * The record of `entry`. Category, severity, number and source come from the catalogue, never from
 * the reporter.
 */
export function auditRecord(entry: AuditEntry, context: AuditContext): AuditRecord {
  const { id, category, severity, source } = AUDIT_EVENTS[entry.event];
  const { seq, bootId: boot, clockSynced: synced } = context;
  return {
    v: 1,
    seq,
    at: new Date(Math.min(Math.max(Math.trunc(context.atMs), 0), AT_MS_MAX)).toISOString(),
    mono: Math.max(Math.floor(context.monotonicMs), 0),
    boot,
    synced,
    source,
    category,
    severity,
    id,
    ...entry,
  };
}

/**
 * [AUD-1] The bytes that are hashed, stored and sent: canonical JSON.
 * @throws Fault `audit.too-large` above {@link AUDIT_RECORD_BYTES_MAX}; `json.invalid` for a lone
 *   surrogate.
 */
export function encodeAuditRecord(record: AuditRecord): Uint8Array {
  const bytes = Buffer.from(canonicalJson(record));
  if (bytes.byteLength > AUDIT_RECORD_BYTES_MAX) {
    throw new Fault(
      "audit.too-large",
      `audit record of "${record.event}" has ${bytes.byteLength} bytes, at most ${AUDIT_RECORD_BYTES_MAX} fit`,
    );
  }
  return bytes;
}

/** No record has a longer surrounding than one with this. */
const LONGEST_CONTEXT: AuditContext = {
  seq: Number.MAX_SAFE_INTEGER,
  atMs: AT_MS_MAX,
  monotonicMs: Number.MAX_SAFE_INTEGER,
  bootId: "f".repeat(36),
  clockSynced: false,
};
/** With this much in each text every record fits, even where JSON escapes each byte. */
const TEXT_BYTES_MIN = 16;

/**
 * [AUD-41] `entry`, with the texts of its detail shortened, all to the same length, as far as its
 * record needs that to fit. A text that was cut ends with `...`.
 */
export function fittedEntry(entry: AuditEntry): AuditEntry {
  if (!mayBeLong(entry)) return entry;
  let fitted = entry;
  for (let bytesMax = AUDIT_RECORD_BYTES_MAX / 2; bytesMax >= TEXT_BYTES_MIN && !fits(fitted); bytesMax /= 2) {
    const detail = Object.entries(entry.detail ?? {}).map(
      ([name, value]) => [name, typeof value === "string" ? clipBytes(value, bytesMax) : value] as const,
    );
    fitted = { ...entry, detail: Object.fromEntries(detail) };
  }
  return fitted;
}

/** Whether the texts could make a record too long, by a bound that takes no encoding. */
function mayBeLong({ principal = "", correlation = "", detail = {} }: AuditEntry): boolean {
  let units = principal.length + correlation.length;
  for (const value of Object.values(detail)) if (typeof value === "string") units += value.length;
  // JSON escapes a unit in six bytes at most; names, numbers and the context have a quarter
  return units * 6 > (AUDIT_RECORD_BYTES_MAX * 3) / 4;
}

function fits(entry: AuditEntry): boolean {
  return Buffer.byteLength(JSON.stringify(auditRecord(entry, LONGEST_CONTEXT))) <= AUDIT_RECORD_BYTES_MAX;
}

/** @throws Fault `json.*` or `schema.invalid` for bytes that no warden of this version wrote. */
export function decodeAuditRecord(bytes: Uint8Array): AuditRecord {
  return check(auditRecordSchema, parseCanonicalJson(bytes, AUDIT_RECORD_BYTES_MAX, "audit record"), "audit record");
}
