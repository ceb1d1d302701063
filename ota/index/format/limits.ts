// Bounds of indexes and chunks: what a device is prepared to hold in memory, wherever it comes
// from.

/** Uncompressed. casync's default maximum is 256 KiB. */
export const CHUNK_BYTES_MAX = 1_048_576;
/**
 * What zstd adds to data that does not compress (ZSTD_COMPRESSBOUND: 1/256 and 64 bytes), with room
 * for the frame header and the checksum.
 */
export const CHUNK_FILE_BYTES_MAX = CHUNK_BYTES_MAX + CHUNK_BYTES_MAX / 256 + 1024;
/**
 * 209,000 chunks: at casync's default sizes an image of 15 GB. The whole index stays in memory
 * while an image is installed.
 */
export const INDEX_BYTES_MAX = 8_388_608;
/**
 * The largest image size that an index may state. It is below 2^53, so that offsets are exact
 * numbers.
 */
export const IMAGE_BYTES_MAX = 68_719_476_736;
/**
 * The largest window that a zstd frame may demand: 2 MiB, as in casync's own frames (level 3,
 * streamed). A decoder allocates it before the first byte is known.
 */
export const CHUNK_WINDOW_LOG_MAX = 21;
