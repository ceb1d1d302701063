/** V8's own heap of a thread: what it works on lies outside. Young objects are few; a bundle and its garbage fit in the rest three times over. */
export const THREAD_YOUNG_MB = 1;
export const THREAD_OLD_MB = 16;
