// The tunnel: the durable MQTT connection between the agent and its hub.
export { TIMEOUTS_DEFAULT } from "./limits.ts";
export type { ConnectedFacts, TunnelEvent, TunnelOptions } from "./options.ts";
export { type Drop, openSpool, type Spool, SPOOL_LIMITS_DEFAULT } from "./spool/index.ts";
export { createTunnel, type ReportChannel, type Tunnel } from "./tunnel.ts";
