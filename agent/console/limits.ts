// Bounds of the serial console.

/** [CON-1] */
export const LINE_BYTES_MAX = 256;
/** Commands that may come at once; a person never types that fast. */
export const COMMANDS_BURST_MAX = 10;
/** Then one more after each of these. */
export const COMMAND_REFILL_MS = 1_000;
/** A session nobody types in is over: the next one at the cable begins anew. */
export const IDLE_MS_MAX = 600_000;
/** [CON-4] The same once somebody has logged in. */
export const LOGGED_IN_IDLE_MS_MAX = 300_000;
/** [OPS-9] As long as the warden keeps a nonce: who fetches an answer from another room finds the session as it was. */
export const CHALLENGE_MS_MAX = 900_000;
/** Login challenges that may be asked for at once, then one more after each refill: the warden has 32 nonces for everybody, a stranger at the cable must not use them up. */
export const CHALLENGES_BURST_MAX = 4;
export const CHALLENGE_REFILL_MS = 60_000;
/** [CON-5] The wait after the first refused answer; each further one doubles it. */
export const REFUSED_DELAY_MS_MIN = 1_000;
export const REFUSED_DELAY_MS_MAX = 60_000;
/** Lines of one list on this screen; `sallyport lockdown show` has them all. */
export const LIST_LINES_MAX = 40;
/** [CON-2] First and longest wait before the port is opened again. */
export const REOPEN_DELAY_MS_MIN = 500;
export const REOPEN_DELAY_MS_MAX = 60_000;
/** A connection that held this long was a good one: the wait starts small again. */
export const STABLE_MS = 10_000;
