// Bounds of the lockdown's memory, waits and answers. The bounds of a policy are in
// format/limits.ts.

/** The record on disk: one policy with its defaults written out, and a few short members. */
export const RECORD_BYTES_MAX = 131_072;
/**
 * When a plan cannot be put in force, everything is shut and the next try comes after this time.
 * [LCK-34]
 */
export const RETRY_MS = 60_000;
export const NONCE_BYTES = 32;
/**
 * [LCK-67] Trials of one policy, where orderly stops end them: the first and two more. A policy
 * that makes the machine restart again and again is given up.
 */
export const TRIALS_MAX = 3;
/**
 * No policy is tried once a reboot of ours was asked for. An orderly one takes less than this time,
 * and one that hangs is ended by the watchdog.
 */
export const RESTART_WITHIN_MS = 300_000;

/**
 * The dead man's switch fires this long after the deadline: the warden knows better why and plans
 * anew, so it acts first where it can. [LCK-15]
 */
export const SWITCH_GRACE_MS = 2000;
/**
 * What the switch allows in addition until a policy is in force: several runs of nft, each bounded.
 */
export const APPLY_WITHIN_MS = 90_000;

/**
 * Period of the check for newly plugged USB devices where the kernel's events cannot be followed.
 * It reads names and numbers only.
 */
export const USB_POLL_MS = 1000;
/** Checks that events ask for: a burst at once, then one in each period. */
export const USB_CHECKS_BURST_MAX = 8;
export const USB_CHECKS_PERIOD_MS = 1000;
/** Devices that came and are not yet looked at. A bus has at most 127. */
export const USB_ARRIVALS_MAX = 256;
/** Pauses before the events are followed again. */
export const USB_FOLLOW_PAUSE_MS_MIN = 1000;
export const USB_FOLLOW_PAUSE_MS_MAX = 60_000;
/** Period of the full comparison with the plan in force. It costs one run of nft. */
export const RECHECK_MS = 5000;

/**
 * Records of what others do (devices that come and go, a table that is changed): a burst, then one
 * per period, so that nobody fills the log by plugging.
 */
export const EXTERNAL_RECORDS_BURST_MAX = 32;
export const EXTERNAL_RECORDS_PERIOD_MS = 30_000;

/** What could not be told is recorded when it stays so: a network that comes up changes it fast. */
export const NOT_KNOWN_SETTLED_MS = 15_000;

/**
 * [LCK-69] After a look at the table the guard rests for so many times the look's own time: another
 * program that changes the table all the time costs a third of one processor at most. A change
 * that comes less often than that is put back at once.
 */
export const REST_PER_WORK = 2;
/** How often the table is put back that could not be; then the comparison judges it. */
export const MEND_TRIES_MAX = 3;
/** A change that a comparison finds is told by the kernel within this time, or the watch hangs. */
export const TOLD_WITHIN_MS = 1000;
/** Records of changes of our table: a few, then one per period, with how many there were. */
export const MEDDLING_RECORDS_BURST_MAX = 8;
export const MEDDLING_RECORDS_PERIOD_MS = 3_600_000;
/** How long after the last change of our table by another program there is a trouble. */
export const MEDDLING_TOLD_MS = 3_600_000;

/** Plans that the agent may have made: a burst, then one per period. */
export const PLANS_BURST_MAX = 8;
export const PLANS_PERIOD_MS = 2000;

/**
 * Size of one list in an answer, as JSON: an answer with all of its lists fits one line of the
 * protocol. [OPS-1]
 */
export const VIEW_LIST_BYTES_MAX = 24_576;
export const PREVIEW_LIST_BYTES_MAX = 14_336;

/** A lasting failure is reported once in this time. */
export const REPORT_PERIOD_MS = 3_600_000;
export const REPORTS_REMEMBERED_MAX = 64;
