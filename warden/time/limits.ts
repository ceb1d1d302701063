// Bounds of time and nonces.

/** The clock is never believed below the day this program was built. An image gives its own date in the configuration; this is the least any image has. */
export const BUILD_DATE_MS_MIN = Date.UTC(2026, 0, 1);
/** A clock further than this from the build date is broken, not late: the design's 15 years. [ID-10] */
export const CLOCK_LIFE_YEARS = 15;
/** Nonces waiting for their answer; a further one replaces the oldest. */
export const NONCES_MAX = 16;
export const NONCE_BYTES = 32;
