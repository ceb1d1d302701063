// Steps of the machine's clock that another program makes. The monotonic clock never steps, so the
// two are compared; Node has no timer that the kernel ends when the clock is set. [TUN-70]
import { Fault } from "../../hal/fault.ts";
import type { Clock } from "../../hal/ports.ts";
import { CLOCK_STEP_MS_MIN } from "../../warden/time/format.ts";

/** How often the two clocks are compared. */
export const STEP_CHECK_MS = 5_000;
/** Steps are counted for so long: a program that steps the clock again and again is named. */
const STEPS_WINDOW_MS = 600_000;
/** With more steps in that time the hub is asked once in {@link STEP_PACE_MS}, and not at once. */
export const STEPS_AT_ONCE_MAX = 2;
export const STEP_PACE_MS = 30_000;

/** Which steps there were, and what they mean for the next question to the hub. */
export class ClockSteps {
  readonly #clock: Pick<Clock, "nowMs" | "monotonicMs">;
  #offsetMs: number;
  /** By the monotonic clock, oldest first; those within the window. */
  #atMs: number[] = [];

  constructor(clock: Pick<Clock, "nowMs" | "monotonicMs">) {
    this.#clock = clock;
    this.#offsetMs = this.#offset();
  }

  /** @returns true once for each step, whoever made it. */
  look(): boolean {
    const offsetMs = this.#offset();
    if (Math.abs(offsetMs - this.#offsetMs) <= CLOCK_STEP_MS_MIN) return false;
    this.#offsetMs = offsetMs;
    return true;
  }

  /**
   * Somebody else has stepped a clock that the hub had set.
   * @returns how many times within the window.
   */
  count(): number {
    const nowMs = this.#clock.monotonicMs();
    this.#atMs = [...this.#recent(nowMs), nowMs].slice(-100);
    return this.#atMs.length;
  }

  /** How long the hub is not asked yet: two programs that set one clock must not race. */
  waitMs(): number {
    const nowMs = this.#clock.monotonicMs();
    const recent = this.#recent(nowMs);
    const last = recent.at(-1);
    return last === undefined || recent.length <= STEPS_AT_ONCE_MAX ? 0 : Math.max(0, last + STEP_PACE_MS - nowMs);
  }

  /** @param isOpen the hub has not been heard since the last step. */
  trouble(isOpen: boolean): Fault | undefined {
    const { length } = this.#recent(this.#clock.monotonicMs());
    if (length > STEPS_AT_ONCE_MAX)
      return new Fault(
        "clock.stepped",
        `another program has set this machine's clock ${length} times in 10 minutes, and the hub's time is put back each time: find that program, such as a time service with a wrong server`,
      );
    if (!isOpen) return undefined;
    return new Fault("clock.stepped", "another program has set this machine's clock; the hub is asked for the time");
  }

  #recent(nowMs: number): number[] {
    return this.#atMs.filter((atMs) => nowMs - atMs < STEPS_WINDOW_MS);
  }

  #offset(): number {
    return this.#clock.nowMs() - this.#clock.monotonicMs();
  }
}
