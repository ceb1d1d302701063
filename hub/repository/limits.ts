/** Folders below the repository's own. */
export const DEPTH_MAX = 8;
/**
 * Devices read at most this much of one metadata file. [OTA-9]
 */
export const METADATA_BYTES_MAX = 2_097_152;
