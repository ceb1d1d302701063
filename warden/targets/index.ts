// What the warden believes of the repository, and what of it is for this device.
export type { Kept } from "./kept.ts";
export { type Found, openTargets, type Taken, type Targets, type TargetsOptions } from "./targets.ts";
