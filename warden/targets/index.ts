// What the warden believes of the repository, and what of it is for this device.
export type { StoredPayload } from "./stored-payload.ts";
export { type JudgedTarget, openTargetService, type Taken, type TargetService, type TargetServiceOptions } from "./targets.ts";
