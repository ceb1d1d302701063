// Bounds on the upgrade of a device key.

/**
 * How long an order `key.upgrade` may be carried out: an operator may have to approve the new key
 * at the hub, and the hub may be out of reach. [ID-66]
 */
export const GRANT_LIFE_MS = 14 * 86_400_000;

/** A serial or MAC that a file names has at most 64 characters. */
export const ADMITTED_BYTES_MAX = 128;
