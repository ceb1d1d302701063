// Bounds of an installation.

/**
 * Chunks on their way at once, read, decompressed or being written: one for each thread of libuv's pool. Each takes at most twice CHUNK_BYTES_MAX and a decoder's
 * window. What V8 and malloc keep beyond that is for the program that installs to bound: see docs/decisions/0007-casync-chunks.md.
 */
export const CHUNKS_IN_FLIGHT = 4;
/** Chunks between two syncs, after each of which the journal is told: at casync's sizes 18 MiB, what a power cut costs at most. */
export const CHUNKS_PER_SYNC = 256;
/** Read back at once, two of them in memory; a multiple of every sector size. */
export const READ_BACK_BYTES = 2_097_152;
