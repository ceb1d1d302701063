// Steps of the hub's own clock: while it runs, against the monotonic clock, and at its start,
// against the last entry of its journal. The hub says so and goes on. It cannot know which of two
// readings is right, and a hub that issued nothing would lock out more devices than wrong dates do:
// those replace a certificate that does not fit by themselves. [STA-52] [TUN-72]
import { Fault } from "../hal/fault.ts";
import { counted } from "../hal/format/prose.ts";

/** Smaller steps are how time services work, and change nothing for the dates of a certificate. */
export const HUB_STEP_MS_MIN = 60_000;
/** An entry of the journal may be written so much later than it is dated. */
const START_MS_MIN = 300_000;
/** How long a step stays among the hub's troubles. */
export const STEP_TOLD_MS = 3_600_000;

export interface HubClockOptions {
  /** Of the last entry before this start, Unix milliseconds; undefined for a new hub. */
  readonly lastMs: number | undefined;
  readonly nowMs?: () => number;
  readonly monotonicMs?: () => number;
}

export class HubClock {
  readonly #nowMs: () => number;
  readonly #monotonicMs: () => number;
  readonly #startedMs: number;
  readonly #lastMs: number | undefined;
  #offsetMs: number;
  #step: { readonly fault: Fault; readonly atMs: number } | undefined;

  constructor({ lastMs, nowMs = Date.now, monotonicMs = () => performance.now() }: HubClockOptions) {
    this.#nowMs = nowMs;
    this.#monotonicMs = monotonicMs;
    this.#startedMs = monotonicMs();
    this.#lastMs = lastMs;
    this.#offsetMs = this.#offset();
    if (lastMs !== undefined && lastMs - nowMs() > START_MS_MIN) this.#note(lastMs, nowMs(), "since the hub ran last");
  }

  /** @returns the step that was noticed within the last hour. Call it every few seconds. */
  fault(): Fault | undefined {
    const stepMs = this.#offset() - this.#offsetMs;
    if (Math.abs(stepMs) > HUB_STEP_MS_MIN) {
      this.#offsetMs += stepMs;
      this.#note(this.#nowMs() - stepMs, this.#nowMs(), "under the running hub");
    }
    if (this.#step !== undefined && this.#monotonicMs() - this.#step.atMs > STEP_TOLD_MS) this.#step = undefined;
    return this.#step?.fault;
  }

  /**
   * [STA-53] For what is removed by its age: never later than the last entry of the journal before
   * this start and the time since. A hub that was off for long removes it later.
   */
  retentionMs(): number {
    const nowMs = this.#nowMs();
    return this.#lastMs === undefined ? nowMs : Math.min(nowMs, this.#lastMs + this.#monotonicMs() - this.#startedMs);
  }

  #note(fromMs: number, toMs: number, when: string): void {
    const how = `${counted(Math.round(Math.abs(toMs - fromMs) / 60_000), "minute")} ${toMs < fromMs ? "back" : "ahead"}`;
    const message = `the clock went from ${iso(fromMs)} to ${iso(toMs)} (${how}) ${when}: certificates of the wrong time begin or end too early or too late, and devices replace those that do not fit by themselves; see that this machine's time service is right`;
    this.#step = { fault: new Fault("hub.clock-stepped", message), atMs: this.#monotonicMs() };
  }

  #offset(): number {
    return this.#nowMs() - this.#monotonicMs();
  }
}

function iso(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? `${ms}` : date.toISOString();
}
