// The login throttle: how fast the console accepts answers and gives challenges. It applies to
// everyone at the cable together, so that hanging up gains nothing. [CON-5]
import { createTokenBucket } from "../../hal/rate-limit.ts";
import type { Clock } from "../../hal/ports.ts";
import { CHALLENGE_REFILL_MS, CHALLENGES_BURST_MAX, REFUSED_DELAY_MS_MAX, REFUSED_DELAY_MS_MIN } from "./limits.ts";

export interface LoginThrottle {
  /** The time until the next answer is accepted, milliseconds; 0 when it is accepted now. */
  waitMs(): number;
  /**
   * An answer was refused: the next one waits twice as long as the last one did. Resolves when that
   * is stored, so that a restart of the agent does not shorten the wait.
   */
  recordRefusal(): Promise<void>;
  /** Somebody has logged in: the next wait is the shortest one. */
  reset(): Promise<void>;
  /**
   * Takes one of the login challenges that are allowed.
   * @returns 0 if there was one; otherwise the time until the next one, milliseconds.
   */
  takeChallenge(): number;
}

/** What outlives the agent. Both are 0 when no answer was refused since the last login. */
export interface ThrottleState {
  readonly delayMs: number;
  /** On the monotonic clock, which all processes of one boot share. */
  readonly openAtMs: number;
}

export interface ThrottleStore {
  /** What the last run stored. */
  readonly stored: ThrottleState;
  /** Never rejects: a throttle that cannot be stored holds until the agent ends. */
  readonly store: (state: ThrottleState) => Promise<void>;
}

const NO_STORE: ThrottleStore = { stored: { delayMs: 0, openAtMs: 0 }, store: async () => undefined };

/**
 * Uses the monotonic clock, so that setting the wall clock shortens no wait. A stored time that
 * lies further ahead than its delay is of an earlier boot: then the whole delay is waited again.
 * One that has passed has been waited for in this boot at least.
 */
export function createLoginThrottle(
  clock: Pick<Clock, "monotonicMs" | "sleep">,
  { stored, store }: ThrottleStore = NO_STORE,
): LoginThrottle {
  const challenges = createTokenBucket(clock, CHALLENGES_BURST_MAX, CHALLENGE_REFILL_MS);
  let delayMs = Math.min(stored.delayMs, REFUSED_DELAY_MS_MAX);
  let openAtMs = Math.min(stored.openAtMs, clock.monotonicMs() + delayMs);
  return {
    waitMs: () => Math.max(0, openAtMs - clock.monotonicMs()),
    async recordRefusal() {
      delayMs = delayMs === 0 ? REFUSED_DELAY_MS_MIN : Math.min(delayMs * 2, REFUSED_DELAY_MS_MAX);
      openAtMs = clock.monotonicMs() + delayMs;
      await store({ delayMs, openAtMs: Math.ceil(openAtMs) });
    },
    async reset() {
      if (delayMs === 0) return;
      delayMs = 0;
      await store({ delayMs, openAtMs: 0 });
    },
    takeChallenge: () => (challenges.take() ? 0 : challenges.dueMs()),
  };
}
