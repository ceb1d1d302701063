// Bounds of the operations. The sizes on the wire are in format.ts.

/**
 * After this time the caller gets a fault instead of waiting for a handler, such as for a hung
 * warden.
 */
export const RUN_MS_MAX = 10_000;
/** The same for one append to the audit trail. */
export const AUDIT_MS_MAX = 5_000;
/** Length of a fault message in an answer, in characters; the bound of the wire format. */
export const FAULT_MESSAGE_CHARACTERS_MAX = 2_048;
/** Length of a text in the detail of an audit record, in characters. */
export const DETAIL_CHARACTERS_MAX = 256;
/** Room in an answer for what surrounds the audit records. */
export const ANSWER_MARGIN_BYTES = 4_096;
export const ANSWER_MARGIN_VALUES = 64;
