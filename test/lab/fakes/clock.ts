// A clock that stands still until a test moves it.
import { Fault } from "../../../hal/fault.ts";
import type { SettableClock } from "../../../hal/ports.ts";

export interface FakeClock extends SettableClock {
  /**
   * Lets `byMs` pass. Sleepers wake in the order of their times, and what they do next (their
   * promises, further sleeps that end within `byMs`) gets its turn before time goes on.
   */
  advance(byMs: number): Promise<void>;
  /** The number of sleepers. */
  readonly sleeping: number;
  /** The time until the next sleeper wakes; undefined when nothing sleeps. */
  readonly nextWakeMs: number | undefined;
  /** Values given to `set`, in order. */
  readonly settings: readonly number[];
  /** Makes `set` fail, as it does without CAP_SYS_TIME. */
  refuseSetting(): void;
}

interface Sleeper {
  readonly wakeAtMs: number;
  readonly wake: () => void;
}

/** @param startMs wall clock at the start, Unix milliseconds. */
export function fakeClock(startMs = Date.UTC(2026, 0, 1)): FakeClock {
  const sleepers = new Set<Sleeper>();
  const settings: number[] = [];
  let monotonicMs = 1_000_000; // Not 0: a machine has been up for a while when a process starts.
  let offsetMs = startMs - monotonicMs;
  let refused = false;

  const first = (): Sleeper | undefined => [...sleepers].sort((a, b) => a.wakeAtMs - b.wakeAtMs)[0];

  return {
    nowMs: () => monotonicMs + offsetMs,
    monotonicMs: () => monotonicMs,
    sleep: (delayMs, signal) => {
      if (delayMs <= 0 || signal?.aborted === true) return Promise.resolve();
      return new Promise((resolve) => {
        const wake = (): void => {
          sleepers.delete(sleeper);
          signal?.removeEventListener("abort", wake);
          resolve();
        };
        const sleeper = { wakeAtMs: monotonicMs + delayMs, wake };
        sleepers.add(sleeper);
        signal?.addEventListener("abort", wake);
      });
    },
    set: async (unixMs) => {
      if (refused || !Number.isSafeInteger(unixMs) || unixMs < 0)
        throw new Fault("clock.set-failed", `set the clock to ${unixMs}: ${refused ? "refused" : "no time"}`);
      settings.push(unixMs);
      offsetMs = unixMs - monotonicMs;
    },
    advance: async (byMs) => {
      const end = monotonicMs + byMs;
      await settle();
      for (let next = first(); next !== undefined && next.wakeAtMs <= end; next = first()) {
        monotonicMs = Math.max(monotonicMs, next.wakeAtMs);
        next.wake();
        await settle();
      }
      monotonicMs = end;
    },
    get sleeping() {
      return sleepers.size;
    },
    get nextWakeMs() {
      const next = first();
      return next === undefined ? undefined : next.wakeAtMs - monotonicMs;
    },
    settings,
    refuseSetting: () => {
      refused = true;
    },
  };
}

/**
 * Two turns of the event loop: for promises that wait for promises, and for what they pass to
 * setImmediate.
 */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
}
