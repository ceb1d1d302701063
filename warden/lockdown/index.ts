// The lockdown: what a device may use, and how a new policy is tried before it is kept.
export { type Preview } from "./effects.ts";
export { type Lockdown, openLockdown } from "./lockdown.ts";
export { type LockdownReport } from "./machine.ts";
export { LOCKDOWN_FILE } from "./record.ts";
export { type LockdownPorts, type LockdownSettings } from "./ports.ts";
export { type LockdownOptions, type LockdownService, startLockdown } from "./service.ts";
export { type HubEndpoint, hubEndpoints, type LinkFacts, type MachineFacts } from "./machine-facts.ts";
export { type LockdownStatus, type PolicyTrial } from "./status.ts";
export { type SignedPolicy } from "./verbs.ts";
