// Writing, one batch at a time: whoever waits shares a write and its sync. Keeps within the bounds and out of what a failed write has left. [AUD-10] [AUD-11]
import { asFault, Fault } from "../../hal/fault.ts";
import { atLeast, type Batch, composeBatch, type Reported, roomIn } from "./batch.ts";
import { AUDIT_SEVERITIES, leafHash, readSegment, SEGMENT_BYTES_MAX, SEGMENT_RECORDS, segmentName } from "./format/index.ts";
import type { AuditLimits } from "./limits.ts";
import { admitsAll, type LogState, nextToGo, openSegmentOf, usedBytes } from "./state.ts";
import { type PendingEvents, pendingEntries, savePendingEvents, withoutRecorded } from "./pending-events.ts";
import { abandon, type RestoredLog, type RestoreOptions } from "./restore.ts";
import { storeTiles } from "./tiles.ts";

export interface QueuedEntry extends Reported {
  /** The first call of either answers, later ones do nothing: they settle a promise. */
  readonly done: (seq: number) => void;
  readonly failed: (fault: Fault) => void;
}

export interface Writer {
  readonly log: LogState;
  readonly owed: PendingEvents;
  /** Writes what it can of `items`, answers each it has dealt with, and returns the others. The caller has the turn. Never rejects for a fault of the disk. */
  write(items: readonly QueuedEntry[]): Promise<readonly QueuedEntry[]>;
  /** Counts `items` as dropped and tells them so. */
  drop(items: readonly QueuedEntry[], why: string): Promise<void>;
}

/** Room that must be free before drops are told: what tells of them is not to be dropped in turn. */
const DROPS_TOLD_BYTES = 1024;

export function createAuditWriter(
  options: RestoreOptions & {
    readonly bootId: string;
    readonly limits: AuditLimits;
    readonly report: (entry: Reported["entry"]) => Reported;
  },
  restored: RestoredLog,
): Writer {
  const { files, state, limits, bootId } = options;
  let { log, owed } = restored;
  /** A write failed: what is in the file now is not known. `noSpace`: what was lost is counted elsewhere. */
  let suspect: { readonly noSpace: boolean } | undefined;

  const owe = async (next: PendingEvents): Promise<void> => {
    owed = next;
    await savePendingEvents(state, owed);
  };

  const drop = async (items: readonly QueuedEntry[], why: string): Promise<void> => {
    if (items.length === 0) return;
    const total = owed.droppedTotal + items.length;
    // under a flood of drops the count goes to the disk each time it has doubled
    const doubled = Math.floor(Math.log2(total)) > Math.floor(Math.log2(owed.droppedTotal || 0.5));
    const next = { ...owed, droppedTotal: total, dropped: owed.dropped + items.length };
    if (doubled || owed.dropped === 0) await owe(next);
    else owed = next;
    for (const { entry, failed } of items)
      failed(new Fault("audit.full", `record "${entry.event}": dropped, ${why}; ${total} records were dropped so far`));
  };

  /** Removes one file that may go. */
  const reclaim = async (): Promise<boolean> => {
    const next = nextToGo(log, limits);
    if (next === undefined) return false;
    await files.remove(next.name);
    next.gone();
    return true;
  };

  /** After a failed write: cut back to what is known to be durable, read that again, and go on only if it is what was written. */
  const settle = async (noSpace: boolean): Promise<void> => {
    const name = segmentName(log.epoch, openSegmentOf(log));
    const lies = (await files.read(name, 2 * SEGMENT_BYTES_MAX))?.byteLength ?? 0;
    if (lies > log.openBytes && !noSpace)
      await owe({ ...owed, recovered: { lostBytes: lies - log.openBytes, lastSeq: log.tree.size - 1 } });
    if (log.openBytes === 0) await files.remove(name);
    else if (lies >= log.openBytes) await files.truncate(name, log.openBytes);
    const again = (await files.read(name, SEGMENT_BYTES_MAX)) ?? new Uint8Array();
    const leaves = readSegment(again).records.map((record) => leafHash(record));
    const intact = again.byteLength === log.openBytes && Buffer.concat(leaves).equals(Buffer.concat(log.open));
    suspect = undefined;
    if (intact) return;
    const why = `"${name}" has other contents after a failed write than were made durable before`;
    ({ log, owed } = await abandon(options, log, owed, why));
  };

  const finish = async (): Promise<void> => {
    if (log.full === undefined) return;
    try {
      await storeTiles(files, log.epoch, log.full.segment, log.full.leaves);
      log.full = undefined;
    } catch (error) {
      if (!(error instanceof Fault && error.code === "audit.tampered")) throw error;
      ({ log, owed } = await abandon(options, log, owed, error.message));
    }
  };

  /** Puts things in order for a write. @returns false when there is no space even for that. */
  const ready = async (): Promise<boolean> => {
    for (;;) {
      try {
        if (suspect !== undefined) await settle(suspect.noSpace);
        await finish();
        return true;
      } catch (error) {
        if (!(error instanceof Fault && error.code === "file.no-space")) throw error;
        if (!(await reclaim())) return false;
      }
    }
  };

  const taken = (batch: Batch<QueuedEntry>): void => {
    const segment = openSegmentOf(log);
    log.openBytes += batch.bytes.byteLength;
    log.segments.set(segment, log.openBytes);
    log.tree = batch.tree;
    log.open = [...log.open, ...batch.leaves];
    if (log.open.length === SEGMENT_RECORDS) {
      log.full = { segment, leaves: log.open };
      log.open = [];
      log.openBytes = 0;
    }
    for (const { item, seq } of batch.taken) item.done(seq);
  };

  /** @returns false when the disk had no space for it. */
  const append = async (batch: Batch<QueuedEntry>): Promise<boolean> => {
    try {
      await files.append(segmentName(log.epoch, openSegmentOf(log)), batch.bytes);
    } catch (error) {
      const fault = asFault(error, "audit.write-failed", "append to the audit log");
      suspect = { noSpace: fault.code === "file.no-space" };
      if (suspect.noSpace) return false;
      throw fault;
    }
    taken(batch);
    return true;
  };

  const compose = async (items: readonly QueuedEntry[]): Promise<Batch<QueuedEntry>> => {
    let batch = composeBatch(log, limits, bootId, items);
    while (batch.dropped.length > 0 && (await reclaim())) batch = composeBatch(log, limits, bootId, items);
    return batch;
  };

  const roomToTell = async (): Promise<boolean> => {
    for (;;) {
      if (admitsAll(limits, usedBytes(log) + DROPS_TOLD_BYTES)) return true;
      if (!(await reclaim())) return false;
    }
  };

  /** The records owed, to go before `items`; none when the segment has no room for them all, then they come with the next. */
  const due = (room: number, withDrops: boolean): readonly QueuedEntry[] => {
    const entries = pendingEntries(owed, withDrops);
    const nothing = (): void => undefined;
    return entries.length < room ? entries.map((entry) => ({ ...options.report(entry), done: nothing, failed: nothing })) : [];
  };

  const writeOnce = async (
    items: readonly QueuedEntry[],
    lowest: (typeof AUDIT_SEVERITIES)[number],
  ): Promise<readonly QueuedEntry[] | undefined> => {
    const withDrops = lowest === "info" && owed.dropped > 0 && (await roomToTell());
    const owing = due(roomIn(log), withDrops);
    const now = items.slice(0, Math.min(limits.batchRecordsMax, roomIn(log) - owing.length));
    const batch = await compose([...owing, ...now.filter(({ entry }) => atLeast(entry, lowest))]);
    if (batch.taken.length > 0 && !(await append(batch))) return undefined;
    for (const { item, fault } of batch.refused) item.failed(fault);
    const missed = batch.dropped.filter((item) => !owing.includes(item));
    if (
      owing.length > 0 &&
      batch.taken.length + batch.refused.length >= owing.length &&
      owing.every((item) => !batch.dropped.includes(item))
    )
      await owe(withoutRecorded(owed, withDrops));
    await drop(
      [...missed, ...now.filter(({ entry }) => !atLeast(entry, lowest))],
      `the log has no room for its source and severity`,
    );
    return items.slice(now.length);
  };

  const write = async (items: readonly QueuedEntry[]): Promise<readonly QueuedEntry[]> => {
    for (const lowest of AUDIT_SEVERITIES) {
      for (;;) {
        if (!(await ready())) break;
        const left = await writeOnce(items, lowest);
        if (left !== undefined) return left;
        if (!(await ready()) || !(await reclaim())) break; // nothing more to remove: try with fewer, the least severe first
      }
    }
    await drop(items, "the disk is full");
    return [];
  };

  return {
    get log() {
      return log;
    },
    get owed() {
      return owed;
    },
    drop,
    write: async (items) => {
      try {
        return await write(items);
      } catch (error) {
        const fault = asFault(error, "audit.write-failed", "write the audit log");
        for (const item of items) item.failed(failure(item, fault)); // does nothing to those that were answered
        return [];
      }
    },
  };
}

function failure({ entry }: QueuedEntry, cause: Fault): Fault {
  if (cause.code === "audit.tampered") return cause;
  return new Fault("audit.write-failed", `record "${entry.event}": ${cause.message}`, { cause });
}
