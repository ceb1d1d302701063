// Bounds of the serial console.

/** [CON-1] Length of a line. */
export const LINE_BYTES_MAX = 256;
/** Commands accepted at once; a person never types that fast. */
export const COMMANDS_BURST_MAX = 10;
/** After that, one more command for each of these periods. */
export const COMMAND_REFILL_MS = 1_000;
/**
 * Answers to keys that carry nothing (^L, ^C, Enter) and to refused lines: at once, and then one
 * for each period. A held key must not fill the line, which carries 11 bytes a millisecond at best.
 */
export const ANSWERS_BURST_MAX = 20;
export const ANSWER_REFILL_MS = 250;
/** A session without a key for this long ends. */
export const IDLE_MS_MAX = 600_000;
/** [CON-10] The same after a login. */
export const LOGGED_IN_IDLE_MS_MAX = 300_000;
/**
 * [OPS-21] The same while a challenge waits for its answer: as long as the warden keeps a nonce, so
 * that there is time to fetch the answer from another room.
 */
export const CHALLENGE_MS_MAX = 900_000;
/**
 * [CON-12] How often the login is compared with the roster in force, besides before each command.
 */
export const ROSTER_CHECK_MS = 2_000;
/**
 * Login challenges given at once; after that, one more for each refill period. The warden has 32
 * nonces for everybody, and a stranger at the cable must not use them up.
 */
export const CHALLENGES_BURST_MAX = 4;
export const CHALLENGE_REFILL_MS = 60_000;
/** [CON-5] The wait after the first refused answer; each further one doubles it. */
export const REFUSED_DELAY_MS_MIN = 1_000;
export const REFUSED_DELAY_MS_MAX = 60_000;
/** Lines of one list on the screen; `sallyport lockdown show` prints them all. */
export const LIST_LINES_MAX = 40;
/** [CON-2] The shortest and the longest wait before the port is opened again. */
export const REOPEN_DELAY_MS_MIN = 500;
export const REOPEN_DELAY_MS_MAX = 60_000;
/** An agent that starts again and again prints its hint once in this time. */
export const HINT_EVERY_MS = 60_000;
/** After a connection that lasted this long, the wait is the shortest one. */
export const STABLE_MS = 10_000;
