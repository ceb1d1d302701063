// Bounds of the operations; sizes on the wire are in format.ts.

/** A handler that has not answered by then is answered for: no caller waits for ever on a warden that hangs. */
export const RUN_MS_MAX = 10_000;
/** The same for one append to the audit trail. */
export const AUDIT_MS_MAX = 5_000;
/** Longest fault message in an answer, in characters; the wire format's bound. */
export const FAULT_MESSAGE_CHARACTERS_MAX = 2_048;
/** Longest text in the detail of an audit record, in characters. */
export const DETAIL_CHARACTERS_MAX = 256;
/** Left free in an answer for what surrounds the audit records. */
export const ANSWER_MARGIN_BYTES = 4_096;
