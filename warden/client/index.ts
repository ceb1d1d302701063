// How the agent reaches the warden. [OPS-1] [OPS-2]
export { wardenClient, type CallableVerb, type WardenClient, type WardenClientOptions } from "./client.ts";
