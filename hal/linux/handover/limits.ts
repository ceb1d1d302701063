/** A drop holds what is on its way, not an archive: more names than this are somebody else's. */
export const DROPPED_NAMES_MAX = 10_000;
