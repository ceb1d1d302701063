/** How often the installer says that it lives, at most. */
export const PROGRESS_EVERY_MS = 1000;
/** Of the reading-back of one chunk and the sync of a stretch, many times over: who says nothing for so long while something is owed hangs. */
export const SILENCE_MS_MAX = 300_000;
/** Orders it has not come to yet: the warden gives one stretch at a time. */
export const ORDERS_WAITING_MAX = 8;
