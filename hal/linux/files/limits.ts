/** Longest name of a state file: with the directory it stays far below PATH_MAX. */
export const NAME_CHARACTERS_MAX = 128;

/** Append files kept open: the segment being written, and one being closed or read beside it. */
export const OPEN_FILES_MAX = 4;

/** A state directory holds tens of files; more than this is a defect or an attack, and a listing must fit in memory. */
export const LISTED_NAMES_MAX = 10_000;
