// A token bucket by the monotonic clock: a wall clock that steps gives nobody more.
import type { Clock } from "../ports.ts";

export interface Bucket {
  /** Takes `count`, one unless told; false, and none taken, when there are fewer. More than the bucket ever holds are never there. */
  take(count?: number): boolean;
  /** Until one may be taken, milliseconds; 0 when one is there. */
  dueMs(): number;
  /** Takes one, waiting for it; at once true when one is there. False when `signal` aborts first. Callers are served in turn. */
  wait(signal: AbortSignal): Promise<boolean>;
}

/** @param burstMax tokens at the start and at most; one more comes every `periodMs`. */
export function tokenBucket(clock: Pick<Clock, "monotonicMs" | "sleep">, burstMax: number, periodMs: number): Bucket {
  let tokens = burstMax;
  let countedAtMs = clock.monotonicMs();
  let line: Promise<unknown> = Promise.resolve();

  const refill = (): void => {
    const nowMs = clock.monotonicMs();
    tokens = Math.min(burstMax, tokens + (nowMs - countedAtMs) / periodMs);
    countedAtMs = nowMs;
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
  const waitInTurn = async (signal: AbortSignal): Promise<boolean> => {
    while (!signal.aborted) {
      if (take()) return true;
      await clock.sleep(Math.max(1, dueMs()), signal);
    }
    return false;
  };
  return {
    take,
    dueMs,
    wait: (signal) => {
      const mine = line.then(() => waitInTurn(signal));
      line = mine;
      return mine;
    },
  };
}
