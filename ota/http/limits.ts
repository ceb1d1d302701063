/** Connections kept to the repository. */
export const SOCKETS_MAX = 6;
/** Whole answer. A chunk of 72 kB takes 20 s at 30 kbit/s. */
export const REQUEST_MS_MAX = 60_000;
/** A line without a byte for this long is dead. */
export const IDLE_MS_MAX = 20_000;
export const HEADER_BYTES_MAX = 16_384;
