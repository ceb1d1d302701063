// The writer of the audit log: one batch at a time, so that callers who wait share a write and its
// sync. It keeps the log within its bounds, and never builds on what a failed write has left.
// [AUD-10] [AUD-11]
import { asFault, Fault, takesNothing } from "../../hal/fault.ts";
import type { AppendFiles, DurableFiles } from "../../hal/ports.ts";
import { atLeast, AUDIT_RANKS, type AuditRank, type Batch, composeBatch, roomIn, type StampedEntry } from "./batch.ts";
import {
  type AuditEntry,
  leafHash,
  lengthWithoutZeros,
  readSegment,
  SEGMENT_BYTES_MAX,
  SEGMENT_RECORDS,
  segmentName,
} from "./format/index.ts";
import type { AuditLimits } from "./limits.ts";
import { type PendingEvents, pendingEntries, savePendingEvents, withoutRecorded } from "./pending-events.ts";
import { abandon, type RestoredLog, type RestoreOptions } from "./restore.ts";
import { admitsAll, type LogState, nextRemovable, openSegmentOf, reserveFor, usedBytes } from "./state.ts";
import { storeTiles } from "./tiles.ts";

export interface QueuedEntry extends StampedEntry {
  /** Settle the caller's promise: the first call of either decides, and later calls do nothing. */
  readonly done: (seq: number) => void;
  readonly failed: (fault: Fault) => void;
}

export interface AuditWriter {
  readonly log: LogState;
  readonly pending: PendingEvents;
  /**
   * Writes as many of `items` as one write holds, settles each that it has dealt with, and returns
   * the others. Calls must not overlap. A fault of the disk fails the items; it never rejects the
   * promise.
   */
  write(items: readonly QueuedEntry[]): Promise<readonly QueuedEntry[]>;
  /** Counts `items` as dropped and fails them with `audit.full`. */
  drop(items: readonly QueuedEntry[], why: string): Promise<void>;
  /**
   * Cuts off the zeros, so that the file ends where the log does. A full disk leaves them there.
   * @throws Fault of {@link AppendFiles.truncate}.
   */
  end(): Promise<void>;
}

export interface AuditWriterOptions extends RestoreOptions {
  readonly bootId: string;
  readonly limits: AuditLimits;
  /** Adds the current time to an entry of the log's own. */
  readonly stamp: (entry: AuditEntry) => StampedEntry;
}

/**
 * Room that must be free before drops are reported: the record that reports them must not be
 * dropped in turn.
 */
const DROP_REPORT_BYTES = 1024;

export function createAuditWriter(options: AuditWriterOptions, restored: RestoredLog): AuditWriter {
  return new BatchWriter(options, restored);
}

class BatchWriter implements AuditWriter {
  readonly #options: AuditWriterOptions;
  readonly #files: AppendFiles;
  readonly #state: DurableFiles;
  readonly #limits: AuditLimits;
  #log: LogState;
  #pending: PendingEvents;
  /**
   * Set after a failed write, when the contents of the file are not known. With `noSpace` the lost
   * entries are counted as dropped, so the torn tail is not reported as recovered.
   */
  #suspect: { readonly noSpace: boolean } | undefined;

  constructor(options: AuditWriterOptions, restored: RestoredLog) {
    this.#options = options;
    this.#files = options.files;
    this.#state = options.state;
    this.#limits = options.limits;
    this.#log = restored.log;
    this.#pending = restored.pending;
  }

  get log(): LogState {
    return this.#log;
  }

  get pending(): PendingEvents {
    return this.#pending;
  }

  async write(items: readonly QueuedEntry[]): Promise<readonly QueuedEntry[]> {
    try {
      return await this.#writeOrDrop(items);
    } catch (error) {
      const fault = asFault(error, "audit.write-failed", "write the audit log");
      // no effect on items that were settled before
      for (const item of items) item.failed(failure(item, fault));
      return [];
    }
  }

  async drop(items: readonly QueuedEntry[], why: string): Promise<void> {
    if (items.length === 0) return;
    const { dropped, droppedTotal } = this.#pending;
    const total = droppedTotal + items.length;
    // under a flood of drops the count is stored only each time it has doubled
    const doubled = Math.floor(Math.log2(total)) > Math.floor(Math.log2(droppedTotal || 0.5));
    const next = { ...this.#pending, droppedTotal: total, dropped: dropped + items.length };
    if (doubled || dropped === 0) await this.#savePending(next);
    else this.#pending = next;
    for (const { entry, failed } of items)
      failed(new Fault("audit.full", `record "${entry.event}": dropped, ${why}; ${total} records were dropped so far`));
  }

  async end(): Promise<void> {
    if (this.#suspect !== undefined) return; // the next start reads what the failed write has left
    try {
      await this.#cutZeros();
    } catch (error) {
      if (!takesNothing(error)) throw error;
    }
  }

  /**
   * [STA-51] Where the disk takes nothing, tries again with fewer entries each time: the least
   * important are dropped first.
   */
  async #writeOrDrop(items: readonly QueuedEntry[]): Promise<readonly QueuedEntry[]> {
    for (const lowest of AUDIT_RANKS) {
      for (;;) {
        if (!(await this.#prepare())) break;
        const rest = await this.#writeOnce(items, lowest);
        if (rest !== undefined) return rest;
        if (!(await this.#prepare()) || !(await this.#removeOldest())) break;
      }
    }
    await this.drop(items, "the disk is full or read-only");
    return [];
  }

  /**
   * One write of the pending events and of the entries that are at least of the rank `lowest`.
   * @returns the items for a later write, or undefined when the disk had no space and nothing was
   *   settled.
   */
  async #writeOnce(items: readonly QueuedEntry[], lowest: AuditRank): Promise<readonly QueuedEntry[] | undefined> {
    const withDrops = lowest === "info" && this.#pending.dropped > 0 && (await this.#makeRoomForDropReport());
    const own = this.#pendingItems(withDrops);
    const now = items.slice(0, Math.min(this.#limits.batchRecordsMax, roomIn(this.#log) - own.length));
    const batch = await this.#compose([...own, ...now.filter(({ entry }) => atLeast(entry, lowest))]);
    if (batch.taken.length > 0 && !(await this.#append(batch))) return undefined;
    for (const { item, fault } of batch.refused) item.failed(fault);
    const settled = batch.taken.length + batch.refused.length;
    if (own.length > 0 && settled >= own.length && own.every((item) => !batch.dropped.includes(item)))
      await this.#savePending(withoutRecorded(this.#pending, withDrops));
    const callers = batch.dropped.filter((item) => !own.includes(item));
    const belowLowest = now.filter(({ entry }) => !atLeast(entry, lowest));
    await this.drop([...callers, ...belowLowest], "the log has no room for its source and severity");
    return items.slice(now.length);
  }

  /**
   * Repairs what a failed write left, cuts the zeros off a full segment and stores its hashes.
   * @returns false when the disk has no space for that.
   */
  async #prepare(): Promise<boolean> {
    for (;;) {
      try {
        if (this.#suspect !== undefined) await this.#repair(this.#suspect.noSpace);
        await this.#storeFullSegment();
        return true;
      } catch (error) {
        if (!takesNothing(error)) throw error;
        if (error.code === "file.read-only" || !(await this.#removeOldest())) return false;
      }
    }
  }

  /**
   * After a failed write: cuts the file back to what is known to be durable and reads it again. The
   * log goes on only when the file holds what was written; otherwise the epoch is left as it is.
   */
  async #repair(noSpace: boolean): Promise<void> {
    const { epoch, open, openBytes, tree } = this.#log;
    const name = segmentName(epoch, openSegmentOf(this.#log));
    const onDisk = (await this.#files.read(name, 2 * SEGMENT_BYTES_MAX)) ?? new Uint8Array();
    const lostBytes = lengthWithoutZeros(onDisk) - openBytes;
    if (lostBytes > 0 && !noSpace)
      await this.#savePending({ ...this.#pending, recovered: { lostBytes, lastSeq: tree.size - 1 } });
    if (openBytes === 0) await this.#files.remove(name);
    else if (onDisk.byteLength >= openBytes) await this.#files.truncate(name, openBytes);
    this.#log.openLength = openBytes;
    const bytes = (await this.#files.read(name, SEGMENT_BYTES_MAX)) ?? new Uint8Array();
    const leaves = readSegment(bytes).records.map((record) => leafHash(record));
    this.#suspect = undefined;
    if (bytes.byteLength === openBytes && Buffer.concat(leaves).equals(Buffer.concat(open))) return;
    await this.#abandonEpoch(`"${name}" has other contents after a failed write than were made durable before`);
  }

  async #storeFullSegment(): Promise<void> {
    const { epoch, full } = this.#log;
    if (full === undefined) return;
    try {
      await this.#cutZeros();
      await storeTiles(this.#files, epoch, full.segment, full.leaves);
      this.#log.full = undefined;
    } catch (error) {
      if (!(error instanceof Fault && error.code === "audit.tampered")) throw error;
      await this.#abandonEpoch(error.message);
    }
  }

  /**
   * Cuts the zeros off the segment that was written last. @throws Fault `audit.tampered` when its
   * file lost more than these; those of {@link AppendFiles.truncate}.
   */
  async #cutZeros(): Promise<void> {
    const log = this.#log;
    const segment = log.full?.segment ?? openSegmentOf(log);
    const bytes = log.segments.get(segment) ?? 0;
    if ((log.full?.length ?? log.openLength) <= bytes) return;
    const name = segmentName(log.epoch, segment);
    try {
      await this.#files.truncate(name, bytes);
    } catch (error) {
      const left = (await this.#files.read(name, SEGMENT_BYTES_MAX))?.byteLength ?? 0;
      if (left < bytes) throw new Fault("audit.tampered", `"${name}" was cut while the log was open`, { cause: error });
      throw error;
    }
    if (log.full === undefined) log.openLength = bytes;
    else log.full = { ...log.full, length: bytes };
  }

  async #abandonEpoch(why: string): Promise<void> {
    const { log, pending } = await abandon(this.#options, this.#log, this.#pending, why);
    this.#log = log;
    this.#pending = pending;
  }

  async #compose(items: readonly QueuedEntry[]): Promise<Batch<QueuedEntry>> {
    const { bootId } = this.#options;
    let batch = composeBatch(this.#log, this.#limits, bootId, items);
    while (batch.dropped.length > 0 && (await this.#removeOldest())) batch = composeBatch(this.#log, this.#limits, bootId, items);
    return batch;
  }

  /**
   * @returns false when the disk had no space for `batch`. @throws Fault of {@link
   *   AppendFiles.write} for any other failure.
   */
  async #append(batch: Batch<QueuedEntry>): Promise<boolean> {
    const { epoch, open, openBytes } = this.#log;
    const reserve = reserveFor(this.#log, this.#limits, batch.bytes.byteLength, open.length + batch.leaves.length);
    try {
      const name = segmentName(epoch, openSegmentOf(this.#log));
      const length = await this.#files.write(name, openBytes, batch.bytes, reserve);
      this.#log.openLength = length;
      this.#log.reserveRefused ||= reserve > 0 && length === openBytes + batch.bytes.byteLength;
    } catch (error) {
      const fault = asFault(error, "audit.write-failed", "append to the audit log");
      const noSpace = takesNothing(fault);
      this.#suspect = { noSpace };
      if (noSpace) return false;
      throw fault;
    }
    this.#commit(batch);
    return true;
  }

  /** Takes the durable `batch` into the state in memory and gives its callers their numbers. */
  #commit(batch: Batch<QueuedEntry>): void {
    const log = this.#log;
    const segment = openSegmentOf(log);
    log.openBytes += batch.bytes.byteLength;
    log.segments.set(segment, log.openBytes);
    log.tree = batch.tree;
    log.open = log.open.concat(batch.leaves);
    if (log.open.length === SEGMENT_RECORDS) {
      log.full = { segment, leaves: log.open, length: log.openLength };
      log.open = [];
      log.openBytes = 0;
      log.openLength = 0;
      log.reserveRefused = false;
    }
    for (const { item, seq } of batch.taken) item.done(seq);
  }

  /**
   * The records of the pending events. None where the segment has no room for all of them: they go
   * into the next.
   */
  #pendingItems(withDrops: boolean): readonly QueuedEntry[] {
    const entries = pendingEntries(this.#pending, withDrops);
    if (entries.length >= roomIn(this.#log)) return [];
    const ignore = (): void => undefined;
    return entries.map((entry) => ({ ...this.#options.stamp(entry), done: ignore, failed: ignore }));
  }

  async #makeRoomForDropReport(): Promise<boolean> {
    for (;;) {
      if (admitsAll(this.#limits, usedBytes(this.#log) + DROP_REPORT_BYTES)) return true;
      if (!(await this.#removeOldest())) return false;
    }
  }

  /** Removes the oldest file that may be removed. @returns false when there is none. */
  async #removeOldest(): Promise<boolean> {
    const next = nextRemovable(this.#log, this.#limits);
    if (next === undefined) return false;
    try {
      await this.#files.remove(next.name);
    } catch (error) {
      if (takesNothing(error)) return false;
      throw error;
    }
    next.removed();
    return true;
  }

  async #savePending(pending: PendingEvents): Promise<void> {
    this.#pending = pending;
    await savePendingEvents(this.#state, pending);
  }
}

function failure({ entry }: QueuedEntry, cause: Fault): Fault {
  if (cause.code === "audit.tampered") return cause;
  return new Fault("audit.write-failed", `record "${entry.event}": ${cause.message}`, { cause });
}
