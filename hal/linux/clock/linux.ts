// The machine's clock: reading it, and setting it through date(1).
import { asFault, Fault } from "../../fault.ts";
import type { SettableClock } from "../../ports.ts";
import { runProgram } from "../process/index.ts";
import { monotonicMs, sleep } from "./sleep.ts";

/** date(1) sets the clock in a few milliseconds. A hung one must not hold up the first boot. */
const SET_CLOCK_MS_MAX = 10_000;

/**
 * How far the clock may be from the requested time when it is read back at once: the duration of
 * the program, and no more.
 */
const SET_CLOCK_ERROR_MS_MAX = 2_000;

/**
 * Setting the clock needs CAP_SYS_TIME, which the warden has. It goes through date(1), because Node
 * has no clock_settime(2).
 *
 * The kernel guarantees that CLOCK_MONOTONIC never steps. CLOCK_REALTIME may step in either
 * direction at any moment, also because of other programs.
 * @param run runs date(1); for tests.
 */
export function linuxClock(run: typeof runProgram = runProgram): SettableClock {
  return {
    nowMs: () => Date.now(),
    monotonicMs,
    sleep,
    set: (unixMs) => setSystemClock(unixMs, run),
  };
}

/**
 * @throws Fault `clock.set-failed`, also when the clock reads differently right afterwards, because
 *   another program sets it too.
 */
async function setSystemClock(unixMs: number, run: typeof runProgram): Promise<void> {
  const action = `set the clock to ${isoTime(unixMs)}`;
  if (!Number.isSafeInteger(unixMs) || unixMs < 0)
    throw new Fault("clock.set-failed", `${action}: expected whole milliseconds since 1970`);
  const seconds = `${Math.floor(unixMs / 1000)}.${String(unixMs % 1000).padStart(3, "0")}`;
  const startedAt = monotonicMs();
  try {
    await run("date", ["--utc", `--set=@${seconds}`], { timeoutMs: SET_CLOCK_MS_MAX, outputBytesMax: 1024 });
  } catch (error) {
    throw new Fault("clock.set-failed", `${action}: ${asFault(error, "process.failed", "run date").message}`, { cause: error });
  }
  const errorMs = Date.now() - unixMs - (monotonicMs() - startedAt);
  if (Math.abs(errorMs) > SET_CLOCK_ERROR_MS_MAX)
    throw new Fault("clock.set-failed", `${action}: it reads ${isoTime(Date.now())} right after; is another program setting it?`);
}

function isoTime(unixMs: number): string {
  const date = new Date(unixMs);
  return Number.isNaN(date.getTime()) ? `${unixMs}` : date.toISOString();
}
