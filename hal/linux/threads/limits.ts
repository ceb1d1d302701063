/** V8's own heap of a thread: what it works on lies outside. */
export const THREAD_YOUNG_MB = 1;
export const THREAD_OLD_MB = 32;
