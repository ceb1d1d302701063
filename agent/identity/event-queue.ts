// A queue of events for one reader, which handles them one after another because they must not
// overlap. It is bounded by the number of kinds: an event that waits already is not queued twice.
import type { Clock } from "../../hal/ports.ts";

export interface EventQueue<T> {
  put(event: T): void;
  /** @returns the oldest event, or undefined after `waitMs` or when `signal` aborts. */
  next(waitMs: number, signal: AbortSignal): Promise<T | undefined>;
}

export function createEventQueue<T>(clock: Pick<Clock, "sleep">): EventQueue<T> {
  const queued: T[] = [];
  let arrived = new AbortController();
  return {
    put(event) {
      if (!queued.includes(event)) queued.push(event);
      arrived.abort();
    },
    async next(waitMs, signal) {
      if (queued.length === 0) {
        arrived = new AbortController();
        await clock.sleep(waitMs, AbortSignal.any([arrived.signal, signal]));
      }
      return queued.shift();
    },
  };
}
