// Bounds of orders. [OPS-9]

/** Nonces that wait for their orders, of all verbs. */
export const NONCES_MAX = 32;
/** Of one verb; a further one takes the place of its oldest. A hub that was taken over asks for them by the tunnel as fast as it can: the login at the console is to live on. */
export const NONCES_OF_VERB_MAX = 8;
export const NONCE_LIFE_MS = 900_000;
export const NONCE_BYTES = 32;
/** Records of refused orders at once, then one a period: the console's own delay lets no more come, a captured agent does not keep to it. [AUD-11] [CON-5] */
export const REFUSALS_RECORDED_BURST_MAX = 16;
export const REFUSAL_RECORDED_PERIOD_MS = 60_000;
