// Bounds of the serial console.

/** [CON-1] */
export const LINE_BYTES_MAX = 256;
/** Commands that may come at once; a person never types that fast. */
export const COMMANDS_BURST_MAX = 10;
/** Then one more after each of these. */
export const COMMAND_REFILL_MS = 1_000;
/** A session nobody types in is over: the next one at the cable begins anew. */
export const IDLE_MS_MAX = 600_000;
/** [CON-2] First and longest wait before the port is opened again. */
export const REOPEN_DELAY_MS_MIN = 500;
export const REOPEN_DELAY_MS_MAX = 60_000;
/** A connection that held this long was a good one: the wait starts small again. */
export const STABLE_MS = 10_000;
