// A bounded buffer of the agent's audit entries. They wait here, in order, while the warden
// restarts or refuses for the moment. [OPS-2]
import { asFault, type Fault } from "../../hal/fault.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { WardenClient } from "../../warden/client/index.ts";

/**
 * Entries that wait in memory for the warden: at most 4 KiB each, so a quarter of a mebibyte in
 * all.
 */
export const ENTRIES_WAITING_MAX = 64;
/** The wait after a passing fault: doubled from the first to the second. */
const RETRY_MS_MIN = 250;
const RETRY_MS_MAX = 10_000;

export interface AuditBuffer {
  /**
   * Resolves when the entry is durable in the warden's log.
   * @throws Fault of the warden's refusal; `protocol.closed` while the warden is away.
   */
  append(entry: AuditEntry): Promise<void>;
  /**
   * Appends as soon as the warden accepts it. Never throws. Entries above the bound, and entries
   * that the warden refuses for good, are counted, and an entry of its own states their number and
   * what was refused last. [AUD-41]
   */
  note(entry: AuditEntry): void;
  /** The last fault, until an entry is accepted; for the status. */
  trouble(): Fault | undefined;
  /** Tries the waiting entries once more, for at most `waitMs`. */
  close(waitMs: number): Promise<void>;
}

export interface AuditBufferOptions {
  readonly warden: WardenClient;
  readonly clock: Clock;
  /** Called when an entry has become durable. */
  readonly onAppended: () => void;
}

export function createAuditBuffer(options: AuditBufferOptions): AuditBuffer {
  return new WardenAuditBuffer(options);
}

class WardenAuditBuffer implements AuditBuffer {
  readonly #options: AuditBufferOptions;
  readonly #waiting: AuditEntry[] = [];
  /** Entries that give a count of losses. When one is refused, its count goes into the next. */
  readonly #lossReports = new WeakMap<AuditEntry, number>();
  readonly #closed = new AbortController();
  #lost = 0;
  /** The last entry that was refused for good, and why, until a report of losses states it. */
  #refused: { readonly entry: AuditEntry; readonly code: string } | undefined;
  #fault: Fault | undefined;
  #draining: Promise<void> | undefined;

  constructor(options: AuditBufferOptions) {
    this.#options = options;
  }

  async append(entry: AuditEntry): Promise<void> {
    const { warden, onAppended } = this.#options;
    await warden.call("audit.append", entry);
    onAppended();
  }

  note(entry: AuditEntry): void {
    if (this.#waiting.length >= ENTRIES_WAITING_MAX) {
      this.#lost += 1;
      return;
    }
    this.#waiting.push(entry);
    this.#draining ??= this.#drain();
  }

  trouble(): Fault | undefined {
    return this.#fault;
  }

  async close(waitMs: number): Promise<void> {
    const timer = new AbortController();
    await Promise.race([this.#draining ?? Promise.resolve(), this.#options.clock.sleep(waitMs, timer.signal)]);
    timer.abort();
    this.#closed.abort();
    await this.#draining;
  }

  async #drain(): Promise<void> {
    const { signal } = this.#closed;
    let delayMs = 0;
    for (let entry = this.#waiting[0]; entry !== undefined; entry = this.#waiting[0]) {
      delayMs = await this.#deliver(entry, delayMs);
      if (delayMs > 0 && signal.aborted) break;
      if (delayMs > 0) await this.#options.clock.sleep(delayMs, signal);
    }
    // With no await since the last check of the queue, so that an entry noted from now on starts
    // the next round.
    this.#draining = undefined;
  }

  /**
   * Appends the oldest entry. An entry that the warden refuses for its content is dropped and
   * counted, so that it does not hold up the others.
   * @returns how long to wait before the next attempt, milliseconds.
   */
  async #deliver(entry: AuditEntry, delayMs: number): Promise<number> {
    try {
      await this.append(entry);
    } catch (error) {
      this.#fault = asFault(error, "protocol.closed", "record an audit entry of the agent");
      if (PASSING.has(this.#fault.code)) return Math.min(Math.max(delayMs * 2, RETRY_MS_MIN), RETRY_MS_MAX);
      this.#waiting.shift();
      this.#countRefused(entry, this.#fault.code);
      return 0;
    }
    this.#waiting.shift();
    this.#fault = undefined;
    this.#reportLosses();
    return 0;
  }

  #countRefused(entry: AuditEntry, code: string): void {
    const reported = this.#lossReports.get(entry);
    if (reported === undefined && code !== COUNTED_BY_WARDEN) this.#refused = { entry, code };
    this.#lost += reported ?? (code === COUNTED_BY_WARDEN ? 0 : 1);
    // Otherwise nothing would tell of it until the next event, which may be days away.
    if (reported === undefined && this.#waiting.length === 0) this.#reportLosses();
  }

  #reportLosses(): void {
    if (this.#lost === 0) return;
    const report = lostEntry(this.#lost, this.#refused);
    this.#lossReports.set(report, this.#lost);
    this.#waiting.push(report);
    this.#lost = 0;
    this.#refused = undefined;
  }
}

function lostEntry(count: number, refused: { readonly entry: AuditEntry; readonly code: string } | undefined): AuditEntry {
  const last = refused === undefined ? {} : { refused: refused.entry.event, code: refused.code };
  return { event: "spool.dropped", result: "failed", detail: { what: "audit entries of the agent", count, ...last } };
}

/**
 * The warden has dropped and counted the entry itself. A more severe one behind it may be accepted.
 * [AUD-25]
 */
const COUNTED_BY_WARDEN = "audit.full";

/** Faults that may pass by themselves. */
const PASSING: ReadonlySet<string> = new Set(["protocol.closed", "protocol.rate-limited", "audit.write-failed", "file.no-space"]);
