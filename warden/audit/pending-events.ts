// What happened to the log and is not in it yet: kept beside it, so that a crash between the deed and its record loses neither.
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import { canonicalJson, parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import type { AuditEntry } from "./format/index.ts";
import { OWED_BYTES_MAX } from "./limits.ts";

const OWED_NAME = "audit-owed.json";

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const owedSchema = v.strictObject({
  v: v.literal(1),
  /** Records dropped for want of space, ever. */
  droppedTotal: count,
  /** Of these, the ones no record tells of yet. */
  dropped: count,
  /** A torn tail that was cut. `lastSeq` -1: nothing was left. [AUD-10] */
  recovered: v.optional(v.strictObject({ lostBytes: count, lastSeq: v.pipe(v.number(), v.safeInteger(), v.minValue(-1)) })),
  /** Why the epoch before was closed. [AUD-10] */
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
export type PendingEvents = v.InferOutput<typeof owedSchema>;

export const NO_PENDING_EVENTS: PendingEvents = { v: 1, droppedTotal: 0, dropped: 0 };

/** A file that is damaged is no reason to keep no log: what it told is lost, and the next one is written whole. */
export async function loadPendingEvents(state: DurableFiles): Promise<PendingEvents> {
  const bytes = await state.get(OWED_NAME, OWED_BYTES_MAX);
  if (bytes === undefined) return NO_PENDING_EVENTS;
  try {
    return check(owedSchema, parseJson(bytes, OWED_BYTES_MAX, OWED_NAME), OWED_NAME);
  } catch (error) {
    if (error instanceof Fault) return NO_PENDING_EVENTS;
    throw error;
  }
}

/** As durable as the disk allows: where there is no room even for this, memory has it until the process ends. */
export async function savePendingEvents(state: DurableFiles, owed: PendingEvents): Promise<void> {
  try {
    await state.put(OWED_NAME, Buffer.from(canonicalJson(owed)));
  } catch (error) {
    if (!(error instanceof Fault && ["file.no-space", "file.read-only", "file.write-failed"].includes(error.code))) throw error;
  }
}

/** The records that are owed, oldest deed first. `withDrops`: there is space again, so drops can be told. */
export function pendingEntries(owed: PendingEvents, withDrops: boolean): readonly AuditEntry[] {
  const entries: AuditEntry[] = [];
  if (owed.sealed !== undefined) {
    const { tampered, ...detail } = owed.sealed;
    entries.push({ event: tampered ? "audit.tampered" : "audit.renamed", result: tampered ? "failed" : "ok", detail });
  }
  if (owed.recovered !== undefined) entries.push({ event: "audit.recovered", result: "ok", detail: owed.recovered });
  if (withDrops && owed.dropped > 0)
    entries.push({ event: "audit.dropped", result: "failed", detail: { count: owed.dropped, total: owed.droppedTotal } });
  return entries;
}

/** What is still owed when `owedEntries(owed, withDrops)` is durable. */
export function withoutRecorded(owed: PendingEvents, withDrops: boolean): PendingEvents {
  const { v, droppedTotal, dropped } = owed;
  return { v, droppedTotal, dropped: withDrops ? 0 : dropped };
}
