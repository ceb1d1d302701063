// What the agent saw, for the audit trail. A warden that restarts loses nothing of it: entries wait, in order, few and bounded. [OPS-2]
import { asFault, type Fault } from "../../hal/fault.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import { ENTRIES_WAITING_MAX, RETRY_MS_MAX, RETRY_MS_MIN } from "./limits.ts";

export interface Reporter {
  /** Resolves when the entry is durable in the warden's log. @throws Fault what the warden refuses with, `protocol.closed` while it is away. */
  append(entry: AuditEntry): Promise<void>;
  /** Appends when the warden can; never throws. An entry over the bound is counted and said in the next one that fits. */
  note(entry: AuditEntry): void;
  trouble(): Fault | undefined;
  /** Tries once more what waits, for at most `waitMs`. */
  close(waitMs: number): Promise<void>;
}

export function createReporter(parts: {
  readonly warden: WardenClient;
  readonly clock: Clock;
  readonly onAppended: () => void;
}): Reporter {
  const { warden, clock, onAppended } = parts;
  const waiting: AuditEntry[] = [];
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

  /** The oldest first, again and again; an entry that the warden refuses for what it is must not hold up the others. */
  const drain = async (): Promise<void> => {
    let delayMs = RETRY_MS_MIN;
    for (let entry = waiting[0]; entry !== undefined; entry = waiting[0]) {
      try {
        await append(entry);
        waiting.shift();
        delayMs = RETRY_MS_MIN;
        state.fault = undefined;
        if (state.lost > 0)
          waiting.push({
            event: "spool.dropped",
            result: "failed",
            detail: { what: "audit entries of the agent", count: state.lost },
          });
        state.lost = 0;
      } catch (error) {
        state.fault = asFault(error, "protocol.closed", "record what the agent saw");
        if (closed.signal.aborted) return;
        if (PASSING.has(state.fault.code)) {
          await clock.sleep(delayMs, closed.signal);
          delayMs = Math.min(delayMs * 2, RETRY_MS_MAX);
        } else waiting.shift();
      }
    }
  };

  return {
    append,
    note(entry) {
      if (waiting.length >= ENTRIES_WAITING_MAX) {
        state.lost += 1;
        return;
      }
      waiting.push(entry);
      state.draining ??= drain().finally(() => (state.draining = undefined));
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

/** Faults that another moment may cure. */
const PASSING: ReadonlySet<string> = new Set([
  "protocol.closed",
  "protocol.rate-limited",
  "audit.full",
  "audit.write-failed",
  "file.no-space",
]);
