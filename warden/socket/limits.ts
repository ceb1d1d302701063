// Bounds of the warden's socket.

/** One caller class has this socket to itself: the agent needs one connection, and a second while it restarts. */
export const CONNECTIONS_MAX = 4;
/** A connection that has not said hello by then is closed. */
export const HELLO_WITHIN_MS = 10_000;
/** A peer that reads nothing for this long while answers wait is closed. */
export const DRAIN_WITHIN_MS = 30_000;
/** What is being served when the warden stops gets this long. */
export const STOP_WITHIN_MS = 3_000;
/** sun_path of Linux less its final zero, unix(7). */
export const SOCKET_PATH_BYTES_MAX = 107;
