/** How much of a program's complaint goes into a fault's message. */
export const COMPLAINT_CHARACTERS_MAX = 300;
