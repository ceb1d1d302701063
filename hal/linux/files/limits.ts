/**
 * Most entries of a state directory. It holds tens of files; more than this is a defect or an
 * attack, and a listing must fit in memory.
 */
export const LISTED_NAMES_MAX = 10_000;
