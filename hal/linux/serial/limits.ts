/** The kernel's own buffer of a tty (N_TTY_BUF_SIZE, drivers/tty/n_tty.c): more than this never comes at once. */
export const READ_BYTES_MAX = 4096;
/** Writes that wait behind another, together. At 115,200 baud 64 KiB are six seconds: a caller that is further ahead doesn't wait for its writes. */
export const WAITING_BYTES_MAX = 65_536;
