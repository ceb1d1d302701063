// One audit record: the six fields of IEC 62443-4-2 CR 2.8 and what is needed to order and correlate them. [AUD-1] [AUD-2] [AUD-3]
import * as v from "valibot";
import { Fault } from "../../../hal/fault.ts";
import { canonicalJson, parseCanonicalJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { AUDIT_CATEGORIES, AUDIT_EVENTS, AUDIT_SEVERITIES, isAuditEventName } from "./events.ts";

/** A whole record, encoded. With 7 of them a protocol line of 64 KiB is not yet full. */
export const AUDIT_RECORD_BYTES_MAX = 4096;
export const AUDIT_DETAIL_MEMBERS_MAX = 16;

/**
 * Canonical JSON has no form for a lone surrogate (RFC 8785 section 3.2.2). Refused here, where the reporter
 * still hears of it: text that was cut in the middle of a character must be cut with `clip` instead.
 */
const wellFormed = v.check(
  (text: string) => text.isWellFormed(),
  "expected well-formed text: a lone surrogate has no canonical JSON",
);

/**
 * Flat on purpose: an auditor reads it in a table, and a SIEM maps it without a parser. It holds no secrets and
 * no command lines.
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

/** What whoever reports an event says of it; time, place in the log and source are added by the warden. */
export const auditEntrySchema = v.strictObject({
  event: eventNameSchema,
  result: auditResultSchema,
  /** The principal who caused it, when one did. */
  principal: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(128), wellFormed)),
  /** Ties the records of one operation, order or session together. */
  correlation: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(64), wellFormed)),
  detail: v.optional(auditDetailSchema),
});
export type AuditEntry = v.InferOutput<typeof auditEntrySchema>;

const safeCount = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** A day that exists, in the one spelling we write. */
function isInstant(text: string): boolean {
  const ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isFinite(ms) && new Date(ms).toISOString() === text;
}

/** A name as catalogues have them. A reader may be older than the writer, so a record may name an event that is not in the reader's own. */
const recordedEventSchema = v.pipe(v.string(), v.maxLength(64), v.regex(/^[a-z]+(?:[.-][a-z]+)+$/, "expected an event's name"));

export const auditRecordSchema = v.strictObject({
  v: v.literal(1),
  /** Index of the leaf in the tree, from 0, without gaps. */
  seq: safeCount,
  /** Wall clock as it stood, RFC 3339 UTC with milliseconds; may be wrong: see `synced`. */
  at: v.pipe(v.string(), v.check(isInstant, "expected RFC 3339 UTC with milliseconds")),
  /** Milliseconds since boot: orders the records of one boot whatever the wall clock did. */
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

/** 9999-12-31T23:59:59.999Z: RFC 3339 ends there, a broken clock may not. */
const AT_MS_MAX = 253_402_300_799_999;

/** What the warden knows when it appends. */
export interface AuditContext {
  readonly seq: number;
  readonly atMs: number;
  readonly monotonicMs: number;
  readonly bootId: string;
  readonly clockSynced: boolean;
}

/** The record of `entry`. Category, severity, number and source come from the catalogue, never from the reporter. */
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

/** The bytes that are hashed, stored and sent: canonical JSON. [AUD-1] @throws Fault `audit.write-failed` above {@link AUDIT_RECORD_BYTES_MAX}. */
export function encodeAuditRecord(record: AuditRecord): Uint8Array {
  const bytes = Buffer.from(canonicalJson(record));
  if (bytes.byteLength > AUDIT_RECORD_BYTES_MAX) {
    throw new Fault(
      "audit.write-failed",
      `audit record of "${record.event}" has ${bytes.byteLength} bytes, at most ${AUDIT_RECORD_BYTES_MAX} fit`,
    );
  }
  return bytes;
}

/** @throws Fault `json.*` or `schema.invalid` for bytes that no warden of this version wrote. */
export function decodeAuditRecord(bytes: Uint8Array): AuditRecord {
  return check(auditRecordSchema, parseCanonicalJson(bytes, AUDIT_RECORD_BYTES_MAX, "audit record"), "audit record");
}
