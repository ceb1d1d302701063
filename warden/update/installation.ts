// The installer at work on the release that was verified, if it is: one job at a time. [OTA-41]
import { asFault } from "../../hal/fault.ts";
import type { SlotName } from "../../hal/format/slots.ts";
import type { Event, Release } from "../../ota/commit/index.ts";
import { type ExpectedChunks, type InstallerJob, startJob, type WriteRequest } from "./job.ts";
import type { UpdatePorts } from "./ports.ts";
import type { PartPlan } from "./release-plan.ts";

export interface Installation {
  /** What is verified now: the job that comes is made from it. */
  plan(release: Release, parts: readonly PartPlan[]): void;
  /** Starts the job, unless nobody has brought manifest and indexes since this program runs: then they have to come again. */
  start(release: Release, slot: SlotName): void;
  /** Undefined while nothing is being written. */
  expects(): ExpectedChunks | undefined;
  /** Resolves when the installer can go on, or is over and that is told. */
  ready(): Promise<void>;
  write(stretch: WriteRequest): Promise<void>;
  /** Resolves when the installer is gone. What was written is not told any more. */
  abort(): Promise<void>;
}

interface Current {
  readonly job: InstallerJob;
  /** Resolves when its end is told. */
  readonly end: Promise<void>;
}

export function createInstallation(
  { installer, clock }: Pick<UpdatePorts, "installer" | "clock">,
  told: (event: Event) => Promise<void>,
): Installation {
  let planned: { readonly digest: string; readonly parts: readonly PartPlan[] } | undefined;
  let current: Current | undefined;
  /** Resolves when no installer that was called off is left: two of them are not to write one slot. */
  let gone: Promise<void> = Promise.resolve();
  const startAlone: typeof installer = async () => {
    await gone;
    return await installer();
  };

  const tellEnd = async (job: InstallerJob): Promise<void> => {
    const event = await job.done.then(
      (): Event => ({ kind: "written" }),
      (error: unknown): Event => {
        const { code, message } = asFault(error, "process.failed", "write a slot");
        return { kind: "failed", code, message };
      },
    );
    if (current?.job !== job) return; // called off: whoever did it has told why
    await told(event);
    current = undefined;
  };
  return {
    plan: ({ digest }, parts) => {
      planned = { digest, parts };
    },
    start: ({ digest }, slot) => {
      if (planned?.digest !== digest || current !== undefined) return;
      const job = startJob({ start: startAlone, clock, slot, parts: planned.parts });
      planned = undefined;
      current = { job, end: tellEnd(job) };
    },
    expects: () => current?.job.expects(),
    ready: async () => {
      await current?.job.ready;
      if (current?.job.isOver() === true) await current.end;
    },
    write: async (stretch) => {
      await current?.job.write(stretch);
      if (current?.job.isOver() === true) await current.end;
    },
    abort: async () => {
      const aborted = current;
      current = undefined;
      planned = undefined;
      if (aborted === undefined) return;
      const before = gone;
      gone = aborted.job.abort().then(() => before);
      await gone;
    },
  };
}
