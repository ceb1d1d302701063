/** Node's timers hold at most 2^31 - 1 ms (and fire at once above that); longer sleeps are made of several. */
export const TIMER_MS_MAX = 2 ** 31 - 1;

/** date(1) sets the clock in a few milliseconds; a hung one must not hold up the first boot. */
export const SET_CLOCK_MS_MAX = 10_000;

/** How far the clock may be from what was asked for, read back right after: the program's own duration, and no more. */
export const SET_CLOCK_ERROR_MS_MAX = 2_000;
