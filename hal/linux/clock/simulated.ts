// The clock of a simulated board. Setting it never touches the machine's clock.
import { Fault } from "../../fault.ts";
import type { SettableClock } from "../../ports.ts";
import { monotonicMs, sleep } from "./sleep.ts";

/**
 * Runs with the monotonic clock, starting at `startMs` (Unix milliseconds, now by default). It is
 * set within this process only.
 */
export function createSimulatedClock(startMs: number = Date.now()): SettableClock {
  let offsetMs = startMs - monotonicMs();
  return {
    nowMs: () => monotonicMs() + offsetMs,
    monotonicMs,
    sleep,
    set: async (unixMs) => {
      if (!Number.isSafeInteger(unixMs) || unixMs < 0)
        throw new Fault("clock.set-failed", `set the clock to ${unixMs}: expected whole milliseconds since 1970`);
      offsetMs = unixMs - monotonicMs();
    },
  };
}
