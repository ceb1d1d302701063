// The login throttle: how fast the console accepts answers and gives challenges. It applies to
// everyone at the cable together, so that hanging up gains nothing. [CON-5]
import { createTokenBucket } from "../../hal/rate-limit.ts";
import type { Clock } from "../../hal/ports.ts";
import { CHALLENGE_REFILL_MS, CHALLENGES_BURST_MAX, REFUSED_DELAY_MS_MAX, REFUSED_DELAY_MS_MIN } from "./limits.ts";

export interface LoginThrottle {
  /** The time until the next answer is accepted, milliseconds; 0 when it is accepted now. */
  waitMs(): number;
  /** An answer was refused: the next one waits twice as long as the last one did. */
  recordRefusal(): void;
  /** Somebody has logged in: the next wait is the shortest one. */
  reset(): void;
  /**
   * Takes one of the login challenges that are allowed.
   * @returns 0 if there was one; otherwise the time until the next one, milliseconds.
   */
  takeChallenge(): number;
}

/** Uses the monotonic clock, so that setting the wall clock shortens no wait. */
export function createLoginThrottle(clock: Pick<Clock, "monotonicMs" | "sleep">): LoginThrottle {
  const challenges = createTokenBucket(clock, CHALLENGES_BURST_MAX, CHALLENGE_REFILL_MS);
  let delayMs = 0;
  let openAtMs = Number.NEGATIVE_INFINITY;
  return {
    waitMs: () => Math.max(0, openAtMs - clock.monotonicMs()),
    recordRefusal() {
      delayMs = delayMs === 0 ? REFUSED_DELAY_MS_MIN : Math.min(delayMs * 2, REFUSED_DELAY_MS_MAX);
      openAtMs = clock.monotonicMs() + delayMs;
    },
    reset() {
      delayMs = 0;
    },
    takeChallenge: () => (challenges.take() ? 0 : challenges.dueMs()),
  };
}
