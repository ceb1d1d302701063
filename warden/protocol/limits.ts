// Bounds of the warden's side of the protocol. Those that the client must know too are in
// format.ts.

/**
 * Refusals that are recorded at once, then one a period. The next record counts the others. [OPS-2]
 */
export const REFUSALS_RECORDED_BURST_MAX = 16;
export const REFUSAL_RECORDED_PERIOD_MS = 60_000;
/**
 * Bytes that the agent may append to the log at once and then a minute, all connections together.
 * That is more than a thousand ordinary records, then three a second. The agent's share of a log of
 * the usual size is full after an hour and a half, in which the hub can witness it. [AUD-26]
 */
export const APPENDED_BYTES_BURST_MAX = 1_048_576;
export const APPENDED_BYTES_PER_MINUTE_MAX = 131_072;
/** Bytes of a record besides the entry of the agent: number, times, boot id, frame, hash. */
export const APPENDED_RECORD_BYTES = 320;
/**
 * Bytes of an answer line that are reserved for `{"id":...,"result":{...}}` around the records of
 * `audit.read`.
 */
export const ANSWER_ENVELOPE_BYTES = 512;
/** UTF-16 code units of a fault's message in an answer. */
export const FAULT_MESSAGE_CHARACTERS_MAX = 2048;
/** UTF-16 code units of a verb in a record or a message; a verb of a request may have as many. */
export const VERB_CHARACTERS_MAX = 64;
/**
 * The request budget: bytes a second that the agent's lines may have, all connections together, and
 * as many at once. Input of a faster peer is read more slowly. An honest agent sends at most two
 * hundred short lines a second (chunks of an update, pages of the log), which this lets pass.
 * [OPS-10]
 */
export const REQUEST_BYTES_PER_SECOND_MAX = 262_144;
export const REQUEST_BYTES_BURST_MAX = 262_144;
/** What a request costs of the budget besides its bytes. */
export const REQUEST_COST_BYTES = 1024;
/** What a refusal costs besides: it is answered and recorded, and an honest agent has few. */
export const REFUSAL_COST_BYTES = 8192;
/** Invalid requests after which a connection ends. [OPS-10] */
export const INVALID_REQUESTS_MAX = 8;
