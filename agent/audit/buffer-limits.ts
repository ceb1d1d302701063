/** Entries that wait for the warden in memory: at 4 KiB each a quarter of a mebibyte at most. */
export const ENTRIES_WAITING_MAX = 64;
export const RETRY_MS_MIN = 250;
export const RETRY_MS_MAX = 10_000;
