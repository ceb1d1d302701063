// News for one reader, one after another: what must not overlap waits here. Bounded by kind: the same news twice is one.
import type { Clock } from "../../hal/ports.ts";

export interface EventQueue<T> {
  put(news: T): void;
  /** @returns the oldest news, or undefined after `waitMs` or when `signal` aborts. */
  next(waitMs: number, signal: AbortSignal): Promise<T | undefined>;
}

export function createEventQueue<T>(clock: Clock): EventQueue<T> {
  const waiting: T[] = [];
  const held = { arrived: new AbortController() };
  return {
    put(news) {
      if (!waiting.includes(news)) waiting.push(news);
      held.arrived.abort();
    },
    async next(waitMs, signal) {
      if (waiting.length === 0) {
        held.arrived = new AbortController();
        await clock.sleep(waitMs, AbortSignal.any([held.arrived.signal, signal]));
      }
      return waiting.shift();
    },
  };
}
