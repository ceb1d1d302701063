// Bounds of what is escrowed. [ID-54]

/** Passwords of one chip in the clear: five of 32 bytes, two Names and the device id. */
export const CHIP_SECRETS_BYTES_MAX = 2048;
/** The same, sealed: a JWE in compact form. */
export const SEALED_BYTES_MAX = 3584;
/** A sealed text with its signature, as it goes to the hub. */
export const ESCROW_NOTE_BYTES_MAX = 4096;
/** The owner's public key as a JWK. */
export const ESCROW_KEY_BYTES_MAX = 1024;
/** The owner's private key in PEM. */
export const ESCROW_PRIVATE_KEY_BYTES_MAX = 16_384;
