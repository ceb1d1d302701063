// What a device may use, and how a change of that is tried before it is kept.
export { type Preview } from "./effects.ts";
export { type Lockdown, openLockdown } from "./lockdown.ts";
export { type News } from "./machine.ts";
export { type LockdownPorts, type LockdownSettings } from "./ports.ts";
export { type LockdownParts, type LockdownService, startLockdown } from "./service.ts";
export { type HubDoor, hubDoors, type LinkFacts, type Snapshot } from "./snapshot.ts";
export { type LockdownStatus, type Trial } from "./status.ts";
export { type SignedPolicy } from "./verbs.ts";
