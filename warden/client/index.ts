// The agent's way to the warden. [OPS-1] [OPS-2]
export { type WardenClient, createWardenClient } from "./client.ts";
