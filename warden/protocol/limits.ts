// Bounds of the warden's side of the protocol; those the client must know too are in format.ts.

/** Records of refusals in the audit log: this many at once, then one a period. The rest is counted in the next record. [OPS-2] */
export const REFUSALS_RECORDED_BURST_MAX = 16;
export const REFUSAL_RECORDED_PERIOD_MS = 60_000;
/**
 * What the agent may append to the log: this much at once, then so much a minute, all connections together. That is more than a thousand ordinary records, then
 * three a second; and an hour and a half until its share of a log of the usual size is full, in which the hub can witness. [AUD-11]
 */
export const APPENDED_BYTES_BURST_MAX = 1_048_576;
export const APPENDED_BYTES_PER_MINUTE_MAX = 131_072;
/** What a record costs besides what the agent says in it: number, times, boot id, frame, hash. */
export const APPENDED_RECORD_BYTES = 320;
/** Of an answer line, kept for `{"id":...,"result":{...}}` around the records of `audit.read`. */
export const ANSWER_ENVELOPE_BYTES = 512;
export const FAULT_MESSAGE_CHARS_MAX = 2048;
