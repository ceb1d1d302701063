// Bounds of the local socket; sizes of lines are in agent/operations/format.ts.

/** People and scripts of one machine: more at once is a mistake. */
export const CONNECTIONS_MAX = 8;
/** A connection on which nothing moves is closed, whether its peer does not ask or does not read. Longer than any operation may take. */
export const IDLE_MS_MAX = 30_000;
/** A caller does not wait longer for one answer. */
export const ANSWER_MS_MAX = 20_000;
/** Owner only: root passes by its capability. */
export const ROOT_SOCKET_MODE = 0o600;
