// The local socket: the agent's end and the caller's.
export { askLocal } from "./client.ts";
export { type LocalSocket, type LocalSocketOptions, serveLocalSocket } from "./server.ts";
