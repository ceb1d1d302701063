// Bounds of the warden's part in updates.

/** How often the health of a system under trial and its deadline are checked. */
export const HEALTH_EVERY_MS = 1_000;
/** What could not be done (a boot choice, a floor, a reboot) is tried again after this. */
export const SETTLE_AGAIN_MS = 60_000;
/**
 * Releases that may be taken up at once, then one a period: each is recorded and costs a few
 * durable writes. [AUD-11]
 */
export const BEGINNINGS_BURST_MAX = 8;
export const BEGINNING_PERIOD_MS = 300_000;
/** Refusals that are recorded at once, then one a period; the others are counted. [AUD-11] */
export const REFUSALS_BURST_MAX = 8;
export const REFUSAL_PERIOD_MS = 300_000;
export const APPROVAL_BYTES_MAX = 1024;
export const TROUBLES_MAX = 4;
/** UTF-16 code units of a reason in an audit record. */
export const REASON_CHARACTERS_MAX = 512;
/** UTF-16 code units of a detail in the status. */
export const STATUS_CHARACTERS_MAX = 256;
