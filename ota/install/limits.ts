// Bounds of an installation.

/**
 * Unpacked, written, read back at once. Two on their way for each thread that unpacks and one or two that are read or written; each takes its size twice and a
 * decoder's window. What V8 and malloc keep beyond that is for the program that installs to bound: see docs/decisions/0007-casync-chunks.md.
 */
export const RANGE_BYTES = 524_288;
/** Chunks between two syncs, after each of which the journal is told: at casync's sizes 18 MiB, of which a power cut costs twice at most. */
export const CHUNKS_PER_SYNC = 256;
