// Bounds on the upgrade of a device key. [ID-68]

/** Of the record of the upgrade. */
export const UPGRADE_RECORD_BYTES_MAX = 1024;
/** After a fault that time may mend: between half of a bound that doubles and all of it. */
export const RETRY_FIRST_MS = 2000;
export const RETRY_MS_MAX = 300_000;
/**
 * Where only a person, or another board, changes the answer: the hub has refused, or the TPM cannot
 * be used. Between half of it and all.
 */
export const SLOW_RETRY_MS = 1_800_000;
/** How long connections are tried with the new key before the old one has its turn again. */
export const PROVE_MS = 300_000;
/** How long the old key has its turn. */
export const REST_MS = 900_000;
/** Refusals of a certificate by the hub's broker after which another one is asked for. */
export const REFUSALS_MAX = 3;
