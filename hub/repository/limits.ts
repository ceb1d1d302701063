/** Files being sent at once: each holds a descriptor for as long as its reader takes. */
export const STREAMS_MAX = 256;
/** Folders below the repository's own. */
export const DEPTH_MAX = 8;
export const BUSY_RETRY_S = 5;
/** Chunks never change; all else is asked for again. */
export const IMMUTABLE_S = 31_536_000;
