// Bounds of the warden's trust in the repository.

/**
 * How long the result of a cycle may be used to find targets. After that a new cycle comes first.
 * [OTA-7]
 */
export const CYCLE_LIFE_MS = 3_600_000;
/**
 * Requests that verify metadata: at once as many as the longest chain of roots needs, then one
 * every {@link REQUEST_PERIOD_MS}. Each costs milliseconds of signature checks.
 */
export const REQUESTS_BURST_MAX = 320;
export const REQUEST_PERIOD_MS = 200;
/** Offers in an answer, as the protocol bounds them. */
export const OFFERS_MAX = 16;
/** Refusals that are recorded at once, then one a period. [AUD-11] */
export const REFUSALS_RECORDED_BURST_MAX = 16;
export const REFUSAL_RECORDED_PERIOD_MS = 60_000;
/** Records of newer metadata: at once, then one every {@link REFUSAL_RECORDED_PERIOD_MS}. */
export const REFRESHES_RECORDED_BURST_MAX = 16;
/**
 * Causes of each kind that are remembered, so that none is recorded twice. A further one displaces
 * the oldest.
 */
export const CAUSES_REMEMBERED_MAX = 512;
/** UTF-16 code units of a cause. */
export const CAUSE_CHARACTERS_MAX = 256;
/** UTF-16 code units of a message in a record. */
export const WHY_CHARACTERS_MAX = 384;
/** UTF-16 code units of a file name in a record. */
export const FILE_NAME_CHARACTERS_MAX = 128;
/** UTF-16 code units of a path or a target name in a message. */
export const PATH_CHARACTERS_MAX = 160;
export const TROUBLES_MAX = 6;
