// Notes about what a captured agent can cause as often as it likes: some at once, then one now and then, and the number of those left out. [AUD-11]
import { limitRate, createTokenBucket } from "../../hal/rate-limit.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "./format/index.ts";

export type AuditRecorder = (entry: AuditEntry) => Promise<void>;

/** @returns a `note` that takes `burstMax` entries at once and one more every `periodMs`; the next one it takes says in `suppressed` how many it did not. */
export function createRateLimitedRecorder(
  note: AuditRecorder,
  clock: Pick<Clock, "monotonicMs" | "sleep">,
  burstMax: number,
  periodMs: number,
): AuditRecorder {
  const sparingly = limitRate(createTokenBucket(clock, burstMax, periodMs), (entry: AuditEntry, suppressed) =>
    note(withSuppressed(entry, suppressed)),
  );
  return async (entry) => await sparingly(entry);
}

/** The entry, which says how many like it were left out before it. */
export function withSuppressed(entry: AuditEntry, suppressed: number): AuditEntry {
  return suppressed === 0 ? entry : { ...entry, detail: { ...entry.detail, suppressed } };
}
