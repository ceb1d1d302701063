// Bounds of what the hub can make us do and write. A captured hub is a caller too. [TUN-7] [OPS-6]

/** Operations by the tunnel that may come at once: an operator's tool that looks at everything. */
export const OPERATIONS_BURST_MAX = 30;
/** Then one more after each of these: every operation costs a record in the audit trail and an answer in the spool. */
export const OPERATION_REFILL_MS = 2_000;

/** Lines in the journal about messages that were not handled. */
export const REFUSAL_LINES_BURST_MAX = 10;
export const REFUSAL_LINE_REFILL_MS = 10_000;
/** The same for records in the audit trail, which is on flash. */
export const REFUSAL_RECORDS_BURST_MAX = 8;
export const REFUSAL_RECORD_REFILL_MS = 600_000;
