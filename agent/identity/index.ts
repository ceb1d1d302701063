// The device's identity, kept.
export { createIdentityManager, type IdentityManager } from "./manager.ts";
export type { IdentityManagerOptions, SettledKey } from "./ports.ts";
