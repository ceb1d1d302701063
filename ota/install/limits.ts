// Bounds of an installation.

/**
 * Chunks on their way at once, read, decompressed or being written: more than the thread pool's four, so that it never waits for us. Each takes at most twice
 * CHUNK_BYTES_MAX and a decoder's window.
 */
export const CHUNKS_IN_FLIGHT = 6;
/** Chunks between two syncs, after each of which the journal is told: at casync's sizes 18 MiB, what a power cut costs at most. */
export const CHUNKS_PER_SYNC = 256;
