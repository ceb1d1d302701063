/**
 * Most entries of a state directory. It holds tens of files; more than this is a defect or an
 * attack, and a listing must fit in memory.
 */
export const LISTED_NAMES_MAX = 10_000;

/**
 * Space that must stay free on the disk when zeros are reserved: many times what the state of all
 * programs is written anew with.
 */
export const RESERVE_FREE_BYTES_MIN = 4_194_304;
