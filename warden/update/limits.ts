// Bounds of the warden's part in updates.

/** How often a system under trial is looked at, and its deadline. */
export const HEALTH_EVERY_MS = 1_000;
/** What could not be done (a boot choice, a floor, a reboot) is done again after this. */
export const SETTLE_AGAIN_MS = 60_000;
/** Releases the agent may have taken up at once, then one a period: each is recorded and costs a few durable writes. [AUD-11] */
export const BEGINNINGS_BURST_MAX = 8;
export const BEGINNING_PERIOD_MS = 300_000;
/** Refusals recorded at once, then one a period; the rest is counted. [AUD-11] */
export const REFUSALS_BURST_MAX = 8;
export const REFUSAL_PERIOD_MS = 300_000;
export const APPROVAL_BYTES_MAX = 1024;
export const TROUBLES_MAX = 4;
/** Characters of a text in a record of the audit trail. */
export const NOTED_CHARACTERS_MAX = 512;
