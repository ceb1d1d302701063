/** Chunks asked for at once: the line is to be full although each takes a round trip. */
export const FETCHES_IN_FLIGHT = 6;
/** One chunk, the first attempt included: some ten minutes of a line that is down. */
export const ATTEMPTS_MAX = 10;
/** One chunk that comes and is not what it should be: a mirror that has it wrong, or a proxy that mangles, does so in a minute too. */
export const TAMPERED_MAX = 3;
export const RETRY_MS_MIN = 500;
export const RETRY_MS_MAX = 120_000;
/** What lies in the courier's directory at once, uncompressed. */
export const WINDOW_BYTES_MAX = 16_777_216;
