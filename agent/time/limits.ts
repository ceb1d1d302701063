/** Asked for by failures of any number: the hub is asked at most this often. */
export const ASK_AGAIN_AFTER_MS = 10_000;
/** The same while the clock was set from the hub in this boot: then it is rather the hub's certificate that is wrong. */
export const SYNCED_ASK_AGAIN_AFTER_MS = 600_000;
/** A smaller step changes nothing for a certificate's dates. */
export const MOVED_MS_MIN = 60_000;
/** After a question that failed, doubled from the first to the second. */
export const RETRY_MS_MIN = 5_000;
export const RETRY_MS_MAX = 300_000;
