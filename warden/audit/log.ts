// The audit log as the warden uses it: many callers append, and one writer writes.
import { Fault } from "../../hal/fault.ts";
import { clip } from "../../hal/format/text.ts";
import { createMutex } from "../../hal/mutex.ts";
import type { AppendFiles, Clock, DurableFiles } from "../../hal/ports.ts";
import type { StampedEntry } from "./batch.ts";
import {
  AUDIT_EVENTS,
  type AuditEntry,
  type AuditHead,
  encodeNote,
  encodeVerifier,
  fittedEntry,
  isAuthority,
  signNote,
  type Verifier,
} from "./format/index.ts";
import { AUDIT_LIMITS, AUTHORITY_WAITING_MAX, type AuditLimits } from "./limits.ts";
import type { PendingEvents } from "./pending-events.ts";
import { readRecords } from "./read.ts";
import { restore, type RestoredLog } from "./restore.ts";
import { type AuditCheckpoint, makeCheckpoint, storeClosingCheckpoint, storeCosigned } from "./signing.ts";
import { type AuditWriter, createAuditWriter, type QueuedEntry } from "./writer.ts";

export interface AuditOptions {
  /** The log's own directory. */
  readonly files: AppendFiles;
  /**
   * The warden's records: audit key, checkpoints, and the events that the log does not hold yet.
   */
  readonly state: DurableFiles;
  readonly clock: Clock;
  readonly bootId: string;
  readonly deviceId: string;
  readonly clockSynced: () => boolean;
  /** The hub's witness key. Without it nothing can be witnessed, so nothing is ever removed. */
  readonly witness: Verifier | undefined;
  readonly limits?: Partial<AuditLimits>;
}

export interface AuditLog {
  readonly head: AuditHead;
  /** C2SP verifier key; it goes into the certificate request. [AUD-7] */
  readonly auditKey: string;
  /**
   * Why this start closed the previous log and began a new one; undefined when it did not. For the
   * status: the log records it too. [AUD-23]
   */
  readonly tampered: Fault | undefined;
  /**
   * [AUD-10] Resolves with the record's number when the record is durable. Concurrent callers share
   * a write. The texts of an entry of the warden's own are shortened where no record could hold
   * them. [AUD-41]
   * @throws Fault `audit.full` when it was dropped and counted [AUD-25]; `audit.write-failed` when
   *   the disk failed; `audit.too-large` for an entry of the agent's that no record can hold.
   */
  append(entry: AuditEntry): Promise<number>;
  /**
   * Encoded records from `from`, at most `count` and 256; none beyond the end.
   * @throws Fault `audit.removed`; `audit.tampered` when they are not what was written; `file.*`.
   */
  read(from: number, count: number): Promise<readonly Uint8Array[]>;
  /**
   * @throws Fault `proof.invalid` for sizes that the log does not have; `audit.removed` for a size
   *   that is too old; `audit.tampered` when the stored hashes do not fit the tree.
   */
  checkpoint(oldSize: number, size?: number): Promise<AuditCheckpoint>;
  /**
   * Stores a cosigned checkpoint durably. One that is older than the stored one changes nothing.
   * [AUD-8]
   * @throws Fault `note.invalid`, `note.bad-signature`; `witness.conflict` when it is not of our
   *   tree.
   */
  cosigned(note: string): Promise<AuditHead>;
  /**
   * Signs a text that is no checkpoint with the audit key, as a note. Its first line must keep it
   * apart from one. [AUD-6]
   */
  signNote(text: string): string;
  /** Writes the entries that wait and signs the size of the log. Later appends are refused. */
  close(): Promise<void>;
}

/**
 * Findings that one opening of the log records: a damaged log must not fill itself with reports of
 * its damage.
 */
const FINDINGS_RECORDED_MAX = 64;

/**
 * @throws Fault of the ports; `audit.tampered` only when no epoch can be begun;
 *   `audit.write-failed` when the first record cannot be written.
 */
export async function openAuditLog(options: AuditOptions): Promise<AuditLog> {
  const log = new SegmentedLog(options, await restore(options));
  await log.recordStart();
  return log;
}

class SegmentedLog implements AuditLog {
  readonly tampered: Fault | undefined;
  readonly #options: AuditOptions;
  readonly #limits: AuditLimits;
  readonly #writer: AuditWriter;
  /** Held by the writer, by readers and by signers: files and state change only under it. */
  readonly #exclusively = createMutex();
  readonly #waiting: QueuedEntry[] = [];
  readonly #recordedFindings = new Set<number>();
  #flushScheduled = false;
  #closed = false;

  constructor(options: AuditOptions, restored: RestoredLog) {
    this.#options = options;
    this.#limits = { ...AUDIT_LIMITS, ...options.limits };
    this.#writer = createAuditWriter({ ...options, limits: this.#limits, stamp: (entry) => this.#stamp(entry) }, restored);
    this.tampered = sealedFault(restored.pending);
  }

  get head(): AuditHead {
    const { log, pending } = this.#writer;
    return { size: log.tree.size, witnessedSize: log.witnessed, dropped: pending.droppedTotal };
  }

  get auditKey(): string {
    return encodeVerifier(this.#writer.log.signer.verifier);
  }

  async append(entry: AuditEntry): Promise<number> {
    if (this.#closed) throw new Fault("audit.write-failed", `record "${entry.event}": the audit log is closed`);
    return await new Promise((done, failed) => {
      const item: QueuedEntry = { ...this.#stamp(entry), done, failed };
      if (this.#waiting.length >= this.#waitingMaxOf(entry)) {
        void this.#exclusively(() => this.#writer.drop([item], "too many records wait to be written")).catch(failed);
        return;
      }
      this.#waiting.push(item);
      this.#scheduleFlush();
    });
  }

  async read(from: number, count: number): Promise<readonly Uint8Array[]> {
    const { files } = this.#options;
    const found = await this.#exclusively(() => readRecords(files, this.#writer.log, from, count));
    if (!("fault" in found)) return found;
    return await this.#recordFinding(found.fault, found.entry, found.entry + 1);
  }

  async checkpoint(oldSize: number, size?: number): Promise<AuditCheckpoint> {
    const { files } = this.#options;
    const made = await this.#exclusively(() => makeCheckpoint(files, this.#writer.log, oldSize, size));
    if (!(made instanceof Fault)) return made;
    return await this.#recordFinding(made, 0, this.#writer.log.tree.size);
  }

  async cosigned(note: string): Promise<AuditHead> {
    const { files, state, witness } = this.#options;
    return await this.#exclusively(async () => {
      await storeCosigned(files, state, this.#writer.log, witness, note);
      // witnessed segments may be removed, so there may be room now to report drops
      if (this.#writer.pending.dropped > 0) this.#scheduleFlush();
      return this.head;
    });
  }

  signNote(text: string): string {
    return encodeNote({ text, signatures: [signNote(text, this.#writer.log.signer)] });
  }

  async close(): Promise<void> {
    this.#closed = true;
    while (this.#waiting.length > 0) await this.#exclusively(() => this.#flush());
    await this.#exclusively(async () => {
      await storeClosingCheckpoint(this.#options.state, this.#writer.log);
      await this.#writer.end();
    });
  }

  /**
   * Records that the log was opened. On a full disk the record is dropped and counted, and the log
   * still opens.
   */
  async recordStart(): Promise<void> {
    const { epoch, signer } = this.#writer.log;
    const { size, witnessedSize: witnessed, dropped } = this.head;
    const keyId = Buffer.from(signer.verifier.id).toString("hex");
    const detail = { epoch, size, witnessed, dropped, keyId, keyProtection: "file" };
    try {
      await this.append({ event: "audit.started", result: "ok", detail });
    } catch (error) {
      if (!(error instanceof Fault && error.code === "audit.full")) throw error;
    }
  }

  /** [AUD-13] A flood of other records never keeps a record of authority from waiting. */
  #waitingMaxOf({ event }: AuditEntry): number {
    return this.#limits.waitingRecordsMax + (isAuthority(event) ? AUTHORITY_WAITING_MAX : 0);
  }

  #stamp(reported: AuditEntry): StampedEntry {
    const { clock, clockSynced } = this.#options;
    const isOwn = AUDIT_EVENTS[reported.event].source === "warden";
    const entry = isOwn ? fittedEntry(reported) : reported;
    return { entry, atMs: clock.nowMs(), monotonicMs: clock.monotonicMs(), clockSynced: clockSynced() };
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    void this.#exclusively(() => this.#flush());
  }

  /** Writes the entries that wait now. Entries that come meanwhile share the next write. */
  async #flush(): Promise<void> {
    this.#flushScheduled = false;
    const now = this.#waiting.splice(0, this.#limits.batchRecordsMax);
    this.#waiting.unshift(...(await this.#writer.write(now)));
    if (this.#waiting.length > 0) this.#scheduleFlush();
  }

  /** Records once what was found while the log is open. @throws always, `fault`. */
  async #recordFinding(fault: Fault, entry: number, until: number): Promise<never> {
    const { epoch, witnessed } = this.#writer.log;
    if (!this.#recordedFindings.has(entry) && this.#recordedFindings.size < FINDINGS_RECORDED_MAX) {
      this.#recordedFindings.add(entry);
      const detail = { epoch, entry, until, witnessed, why: clip(fault.message, 512) };
      await this.append({ event: "audit.tampered", result: "failed", detail });
    }
    throw fault;
  }
}

function sealedFault({ sealed }: PendingEvents): Fault | undefined {
  if (sealed === undefined) return undefined;
  return new Fault(
    "audit.tampered",
    `${sealed.why}; the files of epoch ${sealed.epoch} are left unchanged, and a new log with a new key was begun`,
  );
}
