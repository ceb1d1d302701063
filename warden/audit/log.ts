// The audit log: appended to by many, read by few, written by one at a time.
import { Fault } from "../../hal/fault.ts";
import type { AppendFiles, Clock, DurableFiles } from "../../hal/ports.ts";
import { createMutex } from "../../hal/mutex.ts";
import type { AuditHead } from "./format/index.ts";
import type { Reported } from "./batch.ts";
import { type AuditEntry, encodeVerifier, frontierRoot, type Verifier, verifyConsistency } from "./format/index.ts";
import { AUDIT_LIMITS, type AuditLimits } from "./limits.ts";
import { type LogState, unstoredOf } from "./state.ts";
import { openCheckpoint, saveClosed, saveWitnessed, signCheckpoint } from "./checkpoints.ts";
import type { PendingEvents } from "./pending-events.ts";
import { readRecords } from "./read.ts";
import { restore } from "./restore.ts";
import { readTiles } from "./tiles.ts";
import { createAuditWriter, type QueuedEntry, type Writer } from "./writer.ts";

export interface AuditOptions {
  /** The log's own directory. */
  readonly files: AppendFiles;
  /** The warden's records: audit key, checkpoints, what is owed to the log. */
  readonly state: DurableFiles;
  readonly clock: Clock;
  readonly bootId: string;
  readonly deviceId: string;
  readonly clockSynced: () => boolean;
  /** The hub's witness key; undefined: nothing can be witnessed, so nothing is ever removed. */
  readonly witness: Verifier | undefined;
  readonly limits?: Partial<AuditLimits>;
}

export interface AuditCheckpoint {
  readonly size: number;
  /** Signed note. [AUD-6] */
  readonly checkpoint: string;
  /** That this tree continues the one of the size asked about. [AUD-5] */
  readonly proof: readonly Uint8Array[];
}

export interface AuditLog {
  readonly head: AuditHead;
  /** C2SP verifier key: goes into the certificate request. [AUD-7] */
  readonly auditKey: string;
  /** Why this start left the log before as it lay and began a new one; undefined when it did not. For the status: the log has it too. [AUD-10] */
  readonly tampered: Fault | undefined;
  /**
   * [AUD-10] Resolves with the record's number when it is durable. Concurrent callers share a write.
   * @throws Fault `audit.full` when it was dropped and counted [AUD-11]; `audit.write-failed` when the disk failed, or no record can hold it.
   */
  append(entry: AuditEntry): Promise<number>;
  /**
   * Encoded records from `from`, at most `count` and 256; none beyond the end.
   * @throws Fault `audit.removed`; `audit.tampered` when they are not what was written; `file.*`.
   */
  read(from: number, count: number): Promise<readonly Uint8Array[]>;
  /** @throws Fault `proof.invalid` for sizes the log does not have; `audit.removed` for one too old; `audit.tampered` when the stored hashes don't fit the tree. */
  checkpoint(oldSize: number, size?: number): Promise<AuditCheckpoint>;
  /**
   * Takes in a cosigned checkpoint, durably. One that is older than what is held changes nothing. [AUD-8]
   * @throws Fault `note.invalid`, `note.bad-signature`; `witness.conflict` when it is not of our tree.
   */
  cosigned(note: string): Promise<AuditHead>;
  /** Writes what waits, and signs how far the log is. Appends are refused from then on. */
  close(): Promise<void>;
}

/** @throws Fault of the ports; `audit.tampered` only where no epoch can be begun; `audit.write-failed` when the first record can't be written. */
export async function openAuditLog(options: AuditOptions): Promise<AuditLog> {
  const { files, state, clock } = options;
  const limits: AuditLimits = { ...AUDIT_LIMITS, ...options.limits };
  const report = (entry: AuditEntry): Reported => ({
    entry,
    atMs: clock.nowMs(),
    monotonicMs: clock.monotonicMs(),
    clockSynced: options.clockSynced(),
  });
  const restored = await restore(options);
  const writer = createAuditWriter({ ...options, limits, report }, restored);
  const inTurn = createMutex();
  const waiting: QueuedEntry[] = [];
  let closed = false;

  let scheduled = false;
  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    void inTurn(flush);
  };
  /** Writes what waits now; whoever comes meanwhile shares the next write. */
  const flush = async (): Promise<void> => {
    scheduled = false;
    const now = waiting.splice(0, limits.batchRecordsMax);
    waiting.unshift(...(await writer.write(now)));
    if (waiting.length > 0) schedule();
  };

  const append = async (entry: AuditEntry): Promise<number> => {
    if (closed) throw new Fault("audit.write-failed", `record "${entry.event}": the audit log is closed`);
    return await new Promise((done, failed) => {
      const item: QueuedEntry = { ...report(entry), done, failed };
      if (waiting.length >= limits.waitingRecordsMax) {
        void inTurn(() => writer.drop([item], "too many records wait to be written")).catch(failed);
        return;
      }
      waiting.push(item);
      schedule();
    });
  };
  /** What was found while the log is open goes into it, once. */
  const told = new Set<number>();
  const tell = async (fault: Fault, entry: number, until: number): Promise<never> => {
    const { epoch, witnessed } = writer.log;
    if (!told.has(entry) && told.size < FINDINGS_TOLD_MAX) {
      told.add(entry);
      const why = fault.message.slice(0, 512).toWellFormed();
      await append({ event: "audit.tampered", result: "failed", detail: { epoch, entry, until, witnessed, why } });
    }
    throw fault;
  };

  const log: AuditLog = {
    get head() {
      return { size: writer.log.tree.size, witnessedSize: writer.log.witnessed, dropped: writer.owed.droppedTotal };
    },
    get auditKey() {
      return encodeVerifier(writer.log.signer.verifier);
    },
    tampered: sealedFault(restored.owed),
    append,
    read: async (from, count) => {
      const records = await inTurn(() => readRecords(files, writer.log, from, count));
      return "fault" in records ? await tell(records.fault, records.entry, records.entry + 1) : records;
    },
    checkpoint: async (oldSize, size) => {
      const made = await inTurn(() => makeCheckpoint(files, writer.log, oldSize, size));
      return made instanceof Fault ? await tell(made, 0, writer.log.tree.size) : made;
    },
    cosigned: (note) =>
      inTurn(async () => {
        await takeCosigned(files, state, writer.log, options.witness, note);
        if (writer.owed.dropped > 0) schedule(); // what is witnessed can go: perhaps there is room to tell of drops
        return log.head;
      }),
    close: async () => {
      closed = true;
      while (waiting.length > 0) await inTurn(flush);
      await inTurn(() => signEnd(state, writer.log));
    },
  };
  await start(log, writer);
  return log;
}

const FINDINGS_TOLD_MAX = 64;

/** That the log was opened is in the log. What a full disk drops is counted, and is no reason not to start. */
async function start(log: AuditLog, writer: Writer): Promise<void> {
  const { epoch, signer } = writer.log;
  const { size, witnessedSize: witnessed, dropped } = log.head;
  const detail = {
    epoch,
    size,
    witnessed,
    dropped,
    keyId: Buffer.from(signer.verifier.id).toString("hex"),
    keyProtection: "file",
  };
  try {
    await log.append({ event: "audit.started", result: "ok", detail });
  } catch (error) {
    if (!(error instanceof Fault && error.code === "audit.full")) throw error;
  }
}

function sealedFault({ sealed }: PendingEvents): Fault | undefined {
  if (sealed === undefined) return undefined;
  return new Fault(
    "audit.tampered",
    `${sealed.why}; epoch ${sealed.epoch} is left as it lies, and a new log with a new key was begun`,
  );
}

/** @returns the fault when the stored hashes don't prove what the tree in memory says: then somebody changed them. */
async function makeCheckpoint(
  files: AppendFiles,
  log: LogState,
  oldSize: number,
  asked?: number,
): Promise<AuditCheckpoint | Fault> {
  const size = asked ?? log.tree.size;
  if (![oldSize, size].every((one) => Number.isSafeInteger(one)) || oldSize < 0 || oldSize > size || size > log.tree.size)
    throw new Fault("proof.invalid", `prove that size ${size} continues size ${oldSize}: the log has ${log.tree.size} entries`);
  const tiles = readTiles(files, log.epoch, unstoredOf(log));
  try {
    const root = await tiles.rootAt(size);
    const proof = await tiles.proof(oldSize, size);
    const whole = await tiles.proof(size, log.tree.size);
    verifyConsistency(oldSize, await tiles.rootAt(oldSize), size, root, proof);
    verifyConsistency(size, root, log.tree.size, frontierRoot(log.tree), whole);
    return { size, checkpoint: signCheckpoint(log.signer, size, root), proof };
  } catch (error) {
    if (!(error instanceof Fault) || (error.code !== "proof.invalid" && error.code !== "audit.tampered")) throw error;
    return new Fault(
      "audit.tampered",
      `sign a checkpoint of size ${size}: the stored hashes don't fit the tree: ${error.message}`,
      { cause: error },
    );
  }
}

async function takeCosigned(
  files: AppendFiles,
  state: DurableFiles,
  log: LogState,
  witness: Verifier | undefined,
  note: string,
): Promise<void> {
  if (witness === undefined)
    throw new Fault("note.bad-signature", "take a cosigned checkpoint: no witness key is configured, so none can be checked");
  const { size, root } = openCheckpoint(note, log.signer.verifier, witness);
  const ours = size > log.tree.size ? undefined : await readTiles(files, log.epoch, unstoredOf(log)).rootAt(size);
  if (ours === undefined || Buffer.compare(ours, root) !== 0)
    throw new Fault(
      "witness.conflict",
      `take a cosigned checkpoint of size ${size}: it is not of our tree of ${log.tree.size} entries`,
    );
  if (size <= log.witnessed) return;
  await saveWitnessed(state, log.epoch, note);
  log.witnessed = size;
}

async function signEnd(state: DurableFiles, log: LogState): Promise<void> {
  const { size } = log.tree;
  if (size === log.closedAt) return;
  try {
    await saveClosed(state, log.epoch, signCheckpoint(log.signer, size, frontierRoot(log.tree)));
  } catch (error) {
    // a full disk costs the extra check at the next start, nothing else
    if (!(error instanceof Fault && error.code === "file.no-space")) throw error;
    return;
  }
  log.closedAt = size;
}
