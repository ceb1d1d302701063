// What the agent saw, for the audit trail. A warden that restarts loses nothing of it: entries wait, in order, few and bounded. [OPS-2]
import { asFault, type Fault } from "../../hal/fault.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import { ENTRIES_WAITING_MAX, RETRY_MS_MAX, RETRY_MS_MIN } from "./buffer-limits.ts";

export interface AuditBuffer {
  /** Resolves when the entry is durable in the warden's log. @throws Fault what the warden refuses with, `protocol.closed` while it is away. */
  append(entry: AuditEntry): Promise<void>;
  /**
   * Appends when the warden can; never throws. Entries above the bound, and those that the warden refuses, are counted;
   * a later record gives the count.
   */
  note(entry: AuditEntry): void;
  trouble(): Fault | undefined;
  /** Tries once more what waits, for at most `waitMs`. */
  close(waitMs: number): Promise<void>;
}

export function createAuditBuffer(parts: {
  readonly warden: WardenClient;
  readonly clock: Clock;
  readonly onAppended: () => void;
}): AuditBuffer {
  const { warden, clock, onAppended } = parts;
  const waiting: AuditEntry[] = [];
  /** Records that give a count of losses. When one is refused, its count goes into the next. */
  const lossReports = new WeakMap<AuditEntry, number>();
  const closed = new AbortController();
  const state: { lost: number; fault: Fault | undefined; draining: Promise<void> | undefined } = {
    lost: 0,
    fault: undefined,
    draining: undefined,
  };

  const append = async (entry: AuditEntry): Promise<void> => {
    await warden.call("audit.append", entry);
    onAppended();
  };

  /** One entry, the oldest. An entry that the warden refuses for what it is must not hold up the others. @returns how long to wait before the next look. */
  const deliver = async (entry: AuditEntry, delayMs: number): Promise<number> => {
    try {
      await append(entry);
    } catch (error) {
      state.fault = asFault(error, "protocol.closed", "record what the agent saw");
      if (PASSING.has(state.fault.code)) return Math.min(Math.max(delayMs * 2, RETRY_MS_MIN), RETRY_MS_MAX);
      waiting.shift();
      // the warden has counted what its full log dropped; every other refusal is counted here
      state.lost += lossReports.get(entry) ?? (state.fault.code === "audit.full" ? 0 : 1);
      return 0;
    }
    waiting.shift();
    state.fault = undefined;
    if (state.lost > 0) {
      const report = lostEntry(state.lost);
      lossReports.set(report, state.lost);
      waiting.push(report);
    }
    state.lost = 0;
    return 0;
  };

  const drain = async (): Promise<void> => {
    let delayMs = 0;
    for (let entry = waiting[0]; entry !== undefined; entry = waiting[0]) {
      delayMs = await deliver(entry, delayMs);
      if (delayMs > 0 && closed.signal.aborted) break;
      if (delayMs > 0) await clock.sleep(delayMs, closed.signal);
    }
    state.draining = undefined; // at once, with no await after the last look: an entry noted now starts the next round
  };

  return {
    append,
    note(entry) {
      if (waiting.length >= ENTRIES_WAITING_MAX) {
        state.lost += 1;
        return;
      }
      waiting.push(entry);
      state.draining ??= drain();
    },
    trouble: () => state.fault,
    async close(waitMs) {
      const enough = new AbortController();
      await Promise.race([state.draining ?? Promise.resolve(), clock.sleep(waitMs, enough.signal)]);
      enough.abort();
      closed.abort();
      await state.draining;
    },
  };
}

function lostEntry(count: number): AuditEntry {
  return { event: "spool.dropped", result: "failed", detail: { what: "audit entries of the agent", count } };
}

/** Faults that another moment may cure. Not `audit.full`: the warden has dropped and counted that entry, and one more severe behind it may be taken. [AUD-11] */
const PASSING: ReadonlySet<string> = new Set(["protocol.closed", "protocol.rate-limited", "audit.write-failed", "file.no-space"]);
