// The warden's socket. [OPS-1]
export { SOCKET_PATH_BYTES_MAX } from "./limits.ts";
export { serveSocket, type SocketServer } from "./server.ts";
