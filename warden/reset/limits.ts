// Bounds of a factory reset.

/** The record of a reset has some 300 bytes. */
export const RESET_RECORD_BYTES_MAX = 2048;
/** What the script says it did: two short lines. */
export const WIPED_BYTES_MAX = 256;
/** How long the restart waits for the hub to witness the record of the order. */
export const WITNESS_MS_MAX = 60_000;
export const WITNESS_POLL_MS = 500;
/** Tries to hand the chip back, each bounded. A lockout of the chip may end in between. */
export const RELEASE_TRIES_MAX = 3;
export const RELEASE_MS_MAX = 60_000;
/** Before what failed is tried again. */
export const RETRY_MS = 10_000;
/** Before a restart that was accepted and did not happen is asked for again. */
export const RESTART_AGAIN_MS = 300_000;
/** Boots in which nothing was wiped, after which the reset is given up. */
export const BOOTS_MAX = 3;
/** UTF-16 code units of a reason in a record. */
export const WHY_CHARACTERS_MAX = 384;
