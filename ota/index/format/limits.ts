// Bounds of indexes and chunks: what a device is ready to hold in memory, whoever sent it.

/** Uncompressed. casync's default maximum is 256 KiB. */
export const CHUNK_BYTES_MAX = 1_048_576;
/** What zstd adds to data that does not compress (ZSTD_COMPRESSBOUND: 1/256 and 64 bytes), with room for frame header and checksum. */
export const CHUNK_FILE_BYTES_MAX = CHUNK_BYTES_MAX + CHUNK_BYTES_MAX / 256 + 1024;
/** 209,000 chunks: at casync's default sizes an image of 15 GB. The whole index is held while an image is installed. */
export const INDEX_BYTES_MAX = 8_388_608;
/** What an index may say an image has; below 2^53, so that offsets are exact numbers. */
export const IMAGE_BYTES_MAX = 68_719_476_736;
/** Window a zstd frame may ask for: 2 MiB, what casync's own frames (level 3, streamed) have. A decoder allocates it before the first byte is known. */
export const CHUNK_WINDOW_LOG_MAX = 21;
