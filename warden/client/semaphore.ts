// So many at once, so many in line, the rest refused. Pure but for its own queue.
import { Fault } from "../../hal/fault.ts";

export interface Semaphore {
  /** Runs `work` when a slot is free, in order. @throws Fault `protocol.rate-limited` when the line is full, and what `work` throws. */
  run<T>(work: () => Promise<T>): Promise<T>;
}

export function createSemaphore(atOnceMax: number, waitingMax: number): Semaphore {
  const line: (() => void)[] = [];
  let busy = 0;
  return {
    async run(work) {
      if (busy >= atOnceMax) {
        if (line.length >= waitingMax)
          throw new Fault(
            "protocol.rate-limited",
            `${busy} calls to the warden are unanswered and ${line.length} wait; call again later`,
          );
        await new Promise<void>((resolve) => line.push(resolve)); // the slot is handed over: `busy` stays as it is
      } else {
        busy += 1;
      }
      try {
        return await work();
      } finally {
        const next = line.shift();
        if (next === undefined) busy -= 1;
        else next();
      }
    },
  };
}
