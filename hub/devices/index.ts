// Decisions about devices: who may enrol, who may connect, and what operators say.
export { admit, type Admission, REFUSALS, type RefusalReason, standing } from "./admit.ts";
export { adopt, approve, deny, forget, revoke } from "./decide.ts";
export type { Desk } from "./desk.ts";
export { enrol, type Outcome, readRequest, reenrol } from "./enrol.ts";
