// A promise with an end.
import { Fault } from "../../hal/fault.ts";
import type { Clock } from "../../hal/ports.ts";

/**
 * The outcome of `work`, unless `msMax` pass first. The work itself is not stopped: it has bounds of its own, this one is for who waits.
 * @throws Fault `operation.failed` when the time is over; else what `work` throws.
 */
export async function withTimeout<T>(clock: Clock, msMax: number, what: string, work: () => Promise<T>): Promise<T> {
  const finished = new AbortController();
  const timeout = clock.sleep(msMax, finished.signal).then((): never => {
    throw new Fault("operation.failed", `${what} gave no answer within ${msMax} ms`);
  });
  try {
    return await Promise.race([work(), timeout]);
  } finally {
    finished.abort();
    timeout.catch(() => {}); // the loser of a race that was won: its fault has nobody left to hear it
  }
}
