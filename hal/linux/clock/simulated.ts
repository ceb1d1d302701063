// The clock of a simulated board: its setting is its own, the machine's is never touched.
import { Fault } from "../../fault.ts";
import type { SettableClock } from "../../ports.ts";
import { monotonicMs, sleep } from "./sleep.ts";

/** Runs with the monotonic clock from `startMs` (Unix milliseconds; now, when not given) on, and is set within this process only. */
export function simulatedClock(startMs: number = Date.now()): SettableClock {
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
