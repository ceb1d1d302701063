// The device's identity, kept.
export { createIdentityKeeper, type IdentityKeeper } from "./keeper.ts";
export type { KeeperParts, SettledKey } from "./ports.ts";
