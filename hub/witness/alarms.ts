// What of a device's new records an operator must hear of at once. [AUD-47]
import { clip } from "../../hal/format/text.ts";
import { type AuditRecord, decodeAuditRecord } from "../../warden/audit/format/index.ts";
import type { JournalDetail } from "../store/index.ts";

/** Alarms told of one delivery; the rest is counted in the last one. */
export const ALARMS_PER_DELIVERY_MAX = 16;
const WHAT_CHARACTERS_MAX = 512;

/** Severe enough whatever the catalogue of this hub says: what stays open for want of knowledge. */
const MORE_EVENTS = ["lockdown.unknown", "clock.stepped"] as const;
/** The device tells the hub of these by messages of their own, which raise their own alerts. */
const TOLD_OTHERWISE: ReadonlySet<string> = new Set(["update.rolled-back", "identity.other-board"]);

/** Canonical JSON has one spelling, so most records need not be parsed to be passed over. */
const MARKS = ['"severity":"high"', ...MORE_EVENTS.map((event) => `"event":"${event}"`)].map((text) => Buffer.from(text));

/**
 * [AUD-47] @returns the details of the alerts for `records`, in their order. A record that this hub
 *   cannot read, such as one of a newer warden, raises none: it is stored like any other.
 */
export function alarmsIn(records: readonly Uint8Array[]): readonly JournalDetail[] {
  const found = records.filter((bytes) =>
    MARKS.some((mark) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(mark)),
  );
  const alarms = found.slice(0, ALARMS_PER_DELIVERY_MAX).flatMap((bytes) => alarmOf(bytes));
  const left = found.length - ALARMS_PER_DELIVERY_MAX;
  return alarms.map((alarm, at) => (left > 0 && at === alarms.length - 1 ? { ...alarm, further: left } : alarm));
}

function alarmOf(bytes: Uint8Array): readonly JournalDetail[] {
  const record = read(bytes);
  if (record === undefined || TOLD_OTHERWISE.has(record.event)) return [];
  if (record.severity !== "high" && !MORE_EVENTS.some((event) => event === record.event)) return [];
  const { event, seq, at, source, detail = {} } = record;
  const what = Object.entries(detail).map(([name, value]) => `${name}: ${value}`);
  return [{ event, seq, at, source, ...(what.length > 0 && { what: clip(what.join("; "), WHAT_CHARACTERS_MAX) }) }];
}

function read(bytes: Uint8Array): AuditRecord | undefined {
  try {
    return decodeAuditRecord(bytes);
  } catch {
    return undefined;
  }
}
