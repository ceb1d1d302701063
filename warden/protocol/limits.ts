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
