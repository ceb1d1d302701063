// Bounds of an installation.

/**
 * Bytes that are unpacked, written and read back at once. Two such ranges are in progress for each
 * thread that unpacks, and one or two are read or written. Each takes twice its size and the window
 * of a decoder. The installing program must bound what V8 and malloc keep beyond that, see
 * docs/decisions/0007-casync-chunks.md.
 */
export const RANGE_BYTES = 524_288;
/**
 * Chunks between two syncs. The journal is updated after each sync. At casync's sizes this is 18
 * MiB, and a power cut costs twice that at most.
 */
export const CHUNKS_PER_SYNC = 256;
