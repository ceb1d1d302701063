// Bounds of the warden's trust in the repository.

/** How long what a cycle judged to be within its dates may be used to take something up; after that a new cycle comes first. [OTA-7] */
export const CYCLE_LIFE_MS = 3_600_000;
/** Requests that verify metadata: as many at once as the longest chain of roots needs, then one every {@link REQUEST_PERIOD_MS}. Each costs milliseconds of signatures. */
export const REQUESTS_BURST_MAX = 320;
export const REQUEST_PERIOD_MS = 200;
/** Offers in an answer; as the protocol has it. */
export const OFFERS_MAX = 16;
/** Records of refusals at once, then one a period. [AUD-11] */
export const REFUSALS_NOTED_BURST_MAX = 16;
export const REFUSAL_NOTED_PERIOD_MS = 60_000;
/** Causes of each kind remembered so that none is recorded twice; a further one takes the place of the oldest. */
export const CAUSES_REMEMBERED_MAX = 512;
export const CAUSE_CHARACTERS_MAX = 256;
/** Of a message in a record. */
export const WHY_CHARACTERS_MAX = 384;
export const TROUBLES_MAX = 6;
