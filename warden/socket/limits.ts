// Bounds of the warden's socket.

/** Only the agent uses this socket: it needs one connection, and a second while it restarts. */
export const CONNECTIONS_MAX = 4;
/** A connection without a hello by then is closed. */
export const HELLO_WITHIN_MS = 10_000;
/** A peer that reads nothing for this long while answers wait is closed. */
export const DRAIN_WITHIN_MS = 30_000;
/** Time to answer the requests that were begun when the warden stops. */
export const STOP_WITHIN_MS = 3_000;
/** sun_path of Linux without its final NUL, unix(7). */
export const SOCKET_PATH_BYTES_MAX = 107;
