// Rate limits: a token bucket, and reports that are withheld when there are too many.
// They run on the monotonic clock, so that a step of the wall clock gives nobody more tokens.
import type { Clock } from "./ports.ts";

export interface TokenBucket {
  /**
   * Takes `count` tokens, one by default. Returns false and takes none when there are fewer. A
   * count above the size of the bucket can never be taken.
   */
  take(count?: number): boolean;
  /** Milliseconds until one token can be taken; 0 when there is one now. */
  dueMs(): number;
  /** Whether all tokens are there. */
  isFull(): boolean;
}

/** @param burstMax tokens at the start, and at most; one more comes every `periodMs`. */
export function createTokenBucket(clock: Pick<Clock, "monotonicMs">, burstMax: number, periodMs: number): TokenBucket {
  let tokens = burstMax;
  let refilledAtMs = clock.monotonicMs();

  const refill = (): void => {
    const nowMs = clock.monotonicMs();
    tokens = Math.min(burstMax, tokens + (nowMs - refilledAtMs) / periodMs);
    refilledAtMs = nowMs;
  };
  const take = (count = 1): boolean => {
    refill();
    if (tokens < count) return false;
    tokens -= count;
    return true;
  };
  const dueMs = (): number => {
    refill();
    return Math.max(0, Math.ceil((1 - tokens) * periodMs));
  };
  const isFull = (): boolean => {
    refill();
    return tokens === burstMax;
  };
  return { take, dueMs, isFull };
}

/**
 * Limits how often `report` is called, for events that may be too many to report each.
 * @param report gets an event when the bucket has a token, and the number of events withheld since
 *   its last call.
 * @returns a function to call for each event. It returns what `report` returned, or undefined for
 *   an event that was withheld.
 */
export function limitRate<T, R>(
  bucket: Pick<TokenBucket, "take">,
  report: (event: T, withheld: number) => R,
): (event: T) => R | undefined {
  let withheld = 0;
  return (event) => {
    if (!bucket.take()) {
      withheld += 1;
      return undefined;
    }
    const count = withheld;
    withheld = 0;
    return report(event, count);
  };
}

/** {@link limitRate} for log lines: a line says how many before it were not written. */
export function limitLineRate(bucket: Pick<TokenBucket, "take">, log: (line: string) => void): (line: string) => void {
  return limitRate(bucket, (line, withheld) =>
    log(withheld === 0 ? line : `${line} (${withheld} more like it were not written)`),
  );
}
