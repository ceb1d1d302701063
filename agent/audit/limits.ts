// Bounds of the audit courier.

/** How long the hub may take to answer a delivery before it is made again. */
export const ANSWER_WAIT_MS_MAX = 30_000;
/** While connected the courier looks this often for records that nobody told it about (the warden's own). */
export const LOOK_INTERVAL_MS = 5_000;
/** After a refusal or a silence: doubled from the first to the second. */
export const RETRY_MS_MIN = 1_000;
export const RETRY_MS_MAX = 300_000;
