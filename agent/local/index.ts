// The local socket: its server in the agent, and its client in the `sallyport` command.
export { askLocal } from "./client.ts";
export { type LocalSocket, type LocalSocketOptions, openLocalSocket } from "./server.ts";
