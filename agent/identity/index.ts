// The identity of the device.
export { createIdentityManager, type IdentityManager } from "./manager.ts";
export type { AgentUpgradeKeys, IdentityManagerOptions, SettledKey } from "./ports.ts";
