/** Files being sent at once: each holds a descriptor for as long as its reader takes. */
export const STREAMS_MAX = 256;
/** Folders below the repository's own. */
export const DEPTH_MAX = 8;
export const BUSY_RETRY_S = 5;
/** Chunks never change; all else is asked for again. */
export const IMMUTABLE_S = 31_536_000;
/** What devices read at most of one metadata file, and the roots they follow in a row. [OTA-9] */
export const METADATA_BYTES_MAX = 2_097_152;
export const ROOTS_MAX = 1024;
