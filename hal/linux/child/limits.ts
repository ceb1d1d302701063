/** Lines of a child's complaints that are passed on, and characters of each; the rest is read and dropped. */
export const COMPLAINTS_MAX = 64;
export const COMPLAINT_CHARACTERS_MAX = 512;
