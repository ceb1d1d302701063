// Bounds of the local socket. The sizes of lines are in agent/operations/format.ts.

/** For the people and scripts of one machine. More at once is a mistake. */
export const CONNECTIONS_MAX = 8;
/**
 * An idle connection is closed after this time, whether its peer does not ask or does not read. It
 * is longer than any operation may take.
 */
export const IDLE_MS_MAX = 30_000;
/** How long a caller waits for one answer. */
export const ANSWER_MS_MAX = 20_000;
/** For the owner only; root passes by its capability. */
export const ROOT_SOCKET_MODE = 0o600;
