// A counting semaphore with a bounded queue.
import { Fault } from "../../hal/fault.ts";

export interface Semaphore {
  /**
   * Runs `work` when a place is free, in the order of the calls.
   * @throws Fault `protocol.rate-limited` when the queue is full, and what `work` throws.
   */
  run<T>(work: () => Promise<T>): Promise<T>;
}

export function createSemaphore(runningMax: number, waitingMax: number): Semaphore {
  const queue: (() => void)[] = [];
  let running = 0;
  return {
    async run(work) {
      if (running >= runningMax) {
        if (queue.length >= waitingMax)
          throw new Fault(
            "protocol.rate-limited",
            `${running} calls to the warden are unanswered and ${queue.length} wait; call again later`,
          );
        // the place is handed over: `running` stays as it is
        await new Promise<void>((resolve) => queue.push(resolve));
      } else {
        running += 1;
      }
      try {
        return await work();
      } finally {
        const next = queue.shift();
        if (next === undefined) running -= 1;
        else next();
      }
    },
  };
}
