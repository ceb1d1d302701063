// A token bucket by the monotonic clock. [OPS-2]
import type { Clock } from "../../hal/ports.ts";

export interface Bucket {
  /** Takes one; false when there is none. */
  take(): boolean;
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
  const take = (): boolean => {
    refill();
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  };
  const waitInTurn = async (signal: AbortSignal): Promise<boolean> => {
    while (!signal.aborted) {
      if (take()) return true;
      await clock.sleep(Math.max(1, Math.ceil((1 - tokens) * periodMs)), signal);
    }
    return false;
  };
  return {
    take,
    wait: (signal) => {
      const mine = line.then(() => waitInTurn(signal));
      line = mine;
      return mine;
    },
  };
}
