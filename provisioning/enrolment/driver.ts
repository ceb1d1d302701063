// The driver of enrolment: runs it to its end, however often it is interrupted. [ID-7]
import type { Clock } from "../../hal/ports.ts";
import { BLANK, next } from "./machine.ts";
import type { Enrolled, EnrolmentPorts } from "./ports.ts";
import { createSteps } from "./steps.ts";

/** An enrolment that is running. */
export interface Enrolment {
  /**
   * Resolves with key and certificate once they are on disk, or with undefined when `signal` aborts
   * first. Rejects with what waiting cannot mend: Fault `key.missing`, `key.mismatch`,
   * `birth.conflict`, or a defect.
   */
  readonly done: Promise<Enrolled | undefined>;
  /**
   * Ends the current wait: the clock was set, the network came up, or an operator is at the
   * console.
   */
  readonly wake: () => void;
}

export function startEnrolment(ports: EnrolmentPorts, signal: AbortSignal): Enrolment {
  const waiter = createWaiter(ports.clock, signal);
  return { done: run(ports, waiter, signal), wake: waiter.wake };
}

async function run(ports: EnrolmentPorts, waiter: Waiter, signal: AbortSignal): Promise<Enrolled | undefined> {
  const steps = createSteps(ports);
  let step = next(BLANK, { kind: "go" });
  while (step.effect !== undefined) {
    if (signal.aborted) return undefined;
    if (step.effect.do === "wait") {
      ports.report({ kind: "waiting", fault: steps.lastFault(), forMs: step.effect.forMs });
      await waiter.wait(step.effect.forMs);
      step = next(step.state, { kind: "go" });
    } else {
      step = next(step.state, await steps.perform(step.effect));
    }
  }
  return steps.enrolled();
}

interface Waiter {
  readonly wait: (forMs: number) => Promise<void>;
  readonly wake: () => void;
}

/** Waits that `wake` or an abort of `signal` ends early. */
function createWaiter(clock: Clock, signal: AbortSignal): Waiter {
  let current = new AbortController();
  return {
    wait: async (forMs) => {
      current = new AbortController();
      await clock.sleep(forMs, AbortSignal.any([signal, current.signal]));
    },
    wake: () => current.abort(),
  };
}
