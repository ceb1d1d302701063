// The upgrade of the device key by one that is kept more safely.
export type { Granted, State as UpgradeState, Upgrade } from "./machine.ts";
export type { KeyUpgradePorts, UpgradeKeys, UpgradeOutcome } from "./ports.ts";
export { type KeyUpgrade, openKeyUpgrade, type UpgradeNeed } from "./upgrade.ts";
