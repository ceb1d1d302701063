// Decisions about devices: who may enrol, who may connect, and what operators say.
export { admit, type DeviceAdmission, REFUSALS, type AdmissionRefusal, standing } from "./admit.ts";
export { adopt, approve, deny, forget, revoke } from "./decide.ts";
export type { DeviceContext } from "./context.ts";
export { enrol, type EnrolOutcome, readRequest, reenrol } from "./enrol.ts";
