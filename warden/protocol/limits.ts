// Bounds of the warden's side of the protocol; those the client must know too are in format.ts.

/** Records of refusals in the audit log: this many at once, then one a period. The rest is counted in the next record. [OPS-2] */
export const REFUSALS_RECORDED_BURST_MAX = 16;
export const REFUSAL_RECORDED_PERIOD_MS = 60_000;
/** Of an answer line, kept for `{"id":...,"result":{...}}` around the records of `audit.read`. */
export const ANSWER_ENVELOPE_BYTES = 512;
export const FAULT_MESSAGE_CHARS_MAX = 2048;
