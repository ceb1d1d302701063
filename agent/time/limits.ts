/** Asked for by failures of any number: the hub is asked at most this often. */
export const ASK_AGAIN_AFTER_MS = 10_000;
/** After a question that failed, doubled from the first to the second. */
export const RETRY_MS_MIN = 5_000;
export const RETRY_MS_MAX = 300_000;
