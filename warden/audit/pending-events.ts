// Events about the log itself that it does not hold yet. They are stored beside the log, so that a
// crash between an event and its record loses neither.
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import type { RecordFormat } from "../../hal/format/record.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { readRecord, writeRecord } from "../../hal/record.ts";
import type { AuditEntry } from "./format/index.ts";
import { PENDING_EVENTS_BYTES_MAX } from "./limits.ts";

const FILE = "audit-pending.json";

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const pendingEventsSchema = v.strictObject({
  v: v.literal(1),
  /** Records dropped for want of space since the log began. */
  droppedTotal: count,
  /** The dropped records that no record reports yet. */
  dropped: count,
  /** A torn tail was cut off. `lastSeq` is -1 when no record remained. [AUD-21] */
  recovered: v.optional(v.strictObject({ lostBytes: count, lastSeq: v.pipe(v.number(), v.safeInteger(), v.minValue(-1)) })),
  /** Why the previous epoch was closed. [AUD-23] */
  sealed: v.optional(
    v.strictObject({
      epoch: count,
      entry: count,
      until: count,
      witnessed: count,
      tampered: v.boolean(),
      why: v.pipe(v.string(), v.maxLength(512)),
    }),
  ),
});
export type PendingEvents = v.InferOutput<typeof pendingEventsSchema>;

const PENDING_RECORD: RecordFormat<PendingEvents> = {
  what: "the pending audit events",
  version: 1,
  readable: 1,
  bytesMax: PENDING_EVENTS_BYTES_MAX,
  schema: pendingEventsSchema,
  legible: true,
  replaceable: true,
};

export const NO_PENDING_EVENTS: PendingEvents = { v: 1, droppedTotal: 0, dropped: 0 };

/**
 * The stored events. A damaged file counts as none, because it must not stop the log: what it held
 * is lost, and the next write replaces it.
 */
export async function loadPendingEvents(state: DurableFiles): Promise<PendingEvents> {
  try {
    return (await readRecord(state, FILE, PENDING_RECORD)) ?? NO_PENDING_EVENTS;
  } catch (error) {
    if (error instanceof Fault) return NO_PENDING_EVENTS;
    throw error;
  }
}

/**
 * Stores the events where the disk allows it. On a full or broken disk they stay in memory until
 * the process ends.
 */
export async function savePendingEvents(state: DurableFiles, pending: PendingEvents): Promise<void> {
  try {
    await writeRecord(state, FILE, PENDING_RECORD, pending);
  } catch (error) {
    if (!(error instanceof Fault && ["file.no-space", "file.read-only", "file.write-failed"].includes(error.code))) throw error;
  }
}

/**
 * The records that report the events, oldest event first. `withDrops` says that there is space to
 * report drops.
 */
export function pendingEntries(pending: PendingEvents, withDrops: boolean): readonly AuditEntry[] {
  const entries: AuditEntry[] = [];
  if (pending.sealed !== undefined) {
    const { tampered, ...detail } = pending.sealed;
    entries.push({ event: tampered ? "audit.tampered" : "audit.renamed", result: tampered ? "failed" : "ok", detail });
  }
  if (pending.recovered !== undefined) entries.push({ event: "audit.recovered", result: "ok", detail: pending.recovered });
  if (withDrops && pending.dropped > 0)
    entries.push({
      event: "audit.dropped",
      result: "failed",
      detail: { count: pending.dropped, total: pending.droppedTotal },
    });
  return entries;
}

/**
 * What remains once the records of {@link pendingEntries} with the same `withDrops` are durable.
 */
export function withoutRecorded(pending: PendingEvents, withDrops: boolean): PendingEvents {
  const { v, droppedTotal, dropped } = pending;
  return { v, droppedTotal, dropped: withDrops ? 0 : dropped };
}
