// A timeout for promises.
import { Fault } from "../../hal/fault.ts";
import type { Clock } from "../../hal/ports.ts";

/**
 * Waits for `work`, for at most `msMax`. The work itself is not stopped: it has bounds of its own,
 * and this one is for the caller that waits.
 * @throws Fault `operation.failed` after `msMax`; otherwise what `work` throws.
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
    // After the race nobody listens to this promise, so its fault must not count as unhandled.
    timeout.catch(() => {});
  }
}
