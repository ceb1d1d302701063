/** Lines of a child's complaints that are passed on, and characters of each; the rest is read and dropped. */
export const COMPLAINTS_MAX = 64;
export const COMPLAINT_CHARACTERS_MAX = 512;
/** To reach a program that systemd starts, and to see it go. */
export const CONNECT_MS_MAX = 10_000;
export const GONE_MS_MAX = 10_000;
