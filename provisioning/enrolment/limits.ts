// How often enrolment asks.

/** Full jitter: between this floor and a bound that doubles. */
export const BACKOFF_MS_MIN = 1000;
export const BACKOFF_FIRST_MS = 2000;
export const BACKOFF_MS_MAX = 300_000;
/**
 * After 401 and 403 only a person at the hub can change the answer. The wait is between half of
 * this and all of it.
 */
export const DENIED_RETRY_MS = 1_800_000;
/**
 * A device that was told when to come back comes up to this share later, so that a fleet does not
 * come at once.
 */
export const RETRY_AFTER_SPREAD_RATIO = 0.1;
