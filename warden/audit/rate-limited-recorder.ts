// Rate limit for audit records of events that a captured agent can cause at will: a burst, then one
// record per period, which gives the number of records left out before it. [AUD-12]
import type { Clock } from "../../hal/ports.ts";
import { limitRate, createTokenBucket } from "../../hal/rate-limit.ts";
import type { AuditEntry } from "./format/index.ts";

export type AuditRecorder = (entry: AuditEntry) => Promise<void>;

/**
 * @returns a recorder that passes `burstMax` entries at once and one more every `periodMs`. The
 *   next entry that it passes says in `suppressed` how many it left out.
 */
export function createRateLimitedRecorder(
  record: AuditRecorder,
  clock: Pick<Clock, "monotonicMs" | "sleep">,
  burstMax: number,
  periodMs: number,
): AuditRecorder {
  const limited = limitRate(createTokenBucket(clock, burstMax, periodMs), (entry: AuditEntry, suppressed) =>
    record(withSuppressed(entry, suppressed)),
  );
  return async (entry) => await limited(entry);
}

/** `entry` with the number of entries like it that were left out before it. */
export function withSuppressed(entry: AuditEntry, suppressed: number): AuditEntry {
  return suppressed === 0 ? entry : { ...entry, detail: { ...entry.detail, suppressed } };
}
