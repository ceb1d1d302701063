// Bounds of what the hub can make the agent do and write. A captured hub is a caller too. [TUN-7]
// [OPS-6]

/**
 * Operations through the tunnel that may come at once, and that may be in progress at once: enough
 * for an operator's tool that reads everything.
 */
export const OPERATIONS_BURST_MAX = 30;
/**
 * One more operation is accepted after each period. Every operation costs a record in the audit
 * trail and an answer in the spool.
 */
export const OPERATION_REFILL_MS = 2_000;

/**
 * Messages with operations that are remembered, so that a repeated one is not carried out twice.
 */
export const OPERATIONS_REMEMBERED_MAX = 256;
/**
 * Answers kept for repeated messages: the newest, and short ones only, which bounds them at 256
 * KiB.
 */
export const ANSWERS_KEPT_MAX = 64;
export const ANSWER_KEPT_BYTES_MAX = 4096;

/** Journal lines about messages that were not handled. */
export const REFUSAL_LINES_BURST_MAX = 10;
export const REFUSAL_LINE_REFILL_MS = 10_000;
/** The same for records in the audit trail, which is on flash. */
export const REFUSAL_RECORDS_BURST_MAX = 8;
export const REFUSAL_RECORD_REFILL_MS = 600_000;
