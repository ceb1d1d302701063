// The warden's trust in the repository, and the targets for this device.
export type { StoredPayload } from "./stored-payload.ts";
export { type JudgedTarget, openTargetService, type Taken, type TargetService, type TargetServiceOptions } from "./targets.ts";
