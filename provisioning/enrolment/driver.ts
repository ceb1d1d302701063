// Runs enrolment to its end, however often it is cut. [ID-7]
import type { Clock } from "../../hal/ports.ts";
import { BLANK, next } from "./machine.ts";
import type { Enrolled, EnrolmentPorts } from "./ports.ts";
import { createWork } from "./work.ts";

/** One enrolment under way. */
export interface Enrolment {
  /**
   * Resolves with key and certificate once that is on disk; with undefined when `signal` aborted first.
   * Rejects for what waiting cannot mend: Fault `key.missing`, `key.mismatch`, `birth.conflict`, or a defect.
   */
  readonly done: Promise<Enrolled | undefined>;
  /** Cuts the present wait short: the clock was set, the network came up, an operator is at the console. */
  readonly wake: () => void;
}

export function startEnrolment(ports: EnrolmentPorts, signal: AbortSignal): Enrolment {
  const waits = createWaits(ports.clock, signal);
  return { done: run(ports, waits, signal), wake: waits.wake };
}

async function run(ports: EnrolmentPorts, waits: Waits, signal: AbortSignal): Promise<Enrolled | undefined> {
  const work = createWork(ports);
  let step = next(BLANK, { kind: "go" });
  while (step.effect !== undefined) {
    if (signal.aborted) return undefined;
    if (step.effect.do === "wait") {
      ports.report({ kind: "waiting", fault: work.reason(), forMs: step.effect.forMs });
      await waits.wait(step.effect.forMs);
      step = next(step.state, { kind: "go" });
    } else {
      step = next(step.state, await work.perform(step.effect));
    }
  }
  return work.enrolled();
}

interface Waits {
  readonly wait: (forMs: number) => Promise<void>;
  readonly wake: () => void;
}

/** Waits that end early by `wake`, and when `signal` aborts. */
function createWaits(clock: Clock, signal: AbortSignal): Waits {
  const held: { early?: AbortController } = {};
  return {
    wait: async (forMs) => {
      const early = new AbortController();
      held.early = early;
      await clock.sleep(forMs, AbortSignal.any([signal, early.signal]));
    },
    wake: () => held.early?.abort(),
  };
}
