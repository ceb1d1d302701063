// Bounds of the client; what a connection may carry is in warden/protocol/format.ts.

/** Calls that wait for their turn when {@link PROTOCOL_PENDING_MAX} are unanswered; a further one is refused at once. */
export const CALLS_WAITING_MAX = 256;
/** An unanswered call after this long means that the warden hangs or is gone: the connection is given up. */
export const ANSWER_WITHIN_MS = 30_000;
