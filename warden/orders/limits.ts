// Bounds of orders. [OPS-21]

/** Nonces of all verbs that wait for their orders. */
export const NONCES_MAX = 32;
/**
 * Nonces of one verb; a further one replaces its oldest. A hub that was taken over asks for nonces
 * through the tunnel as fast as it can, and must not displace those of the login at the console.
 */
export const NONCES_OF_VERB_MAX = 8;
export const NONCE_LIFE_MS = 900_000;
export const NONCE_BYTES = 32;
/**
 * Records of refused orders: a burst, then one per period. The console's own delay is slower than
 * this, but a captured agent does not keep to it. [AUD-11] [CON-5]
 */
export const REFUSALS_RECORDED_BURST_MAX = 16;
export const REFUSAL_RECORDED_PERIOD_MS = 60_000;
