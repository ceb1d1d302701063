// How fast answers are taken and challenges given, whoever sits at the cable: hanging up and coming back changes nothing. [CON-5]
import { createTokenBucket } from "../../hal/rate-limit.ts";
import type { Clock } from "../../hal/ports.ts";
import { CHALLENGE_REFILL_MS, CHALLENGES_BURST_MAX, REFUSED_DELAY_MS_MAX, REFUSED_DELAY_MS_MIN } from "./limits.ts";

export interface LoginThrottle {
  /** Until the next answer is taken, milliseconds; 0 when one is. */
  waitMs(): number;
  /** An answer was refused: the next has to wait, twice as long as the last time. */
  refused(): void;
  /** Somebody has logged in: the wait begins small again. */
  loggedIn(): void;
  /** Takes one of the login challenges that may be asked for. @returns 0, or how long until there is one again, milliseconds. */
  takeChallenge(): number;
}

/** By the monotonic clock: a wall clock that is set shortens no wait. */
export function createLoginThrottle(clock: Pick<Clock, "monotonicMs" | "sleep">): LoginThrottle {
  const challenges = createTokenBucket(clock, CHALLENGES_BURST_MAX, CHALLENGE_REFILL_MS);
  let delayMs = 0;
  let openAtMs = Number.NEGATIVE_INFINITY;
  return {
    waitMs: () => Math.max(0, openAtMs - clock.monotonicMs()),
    refused() {
      delayMs = delayMs === 0 ? REFUSED_DELAY_MS_MIN : Math.min(delayMs * 2, REFUSED_DELAY_MS_MAX);
      openAtMs = clock.monotonicMs() + delayMs;
    },
    loggedIn() {
      delayMs = 0;
    },
    takeChallenge: () => (challenges.take() ? 0 : challenges.dueMs()),
  };
}
