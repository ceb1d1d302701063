// Decisions about devices: which may enrol, which may connect, and what operators decide.
export {
  admit,
  type AdmissionRefusal,
  type AdmittedDevice,
  type DeviceAdmission,
  identify,
  readStandings,
  REFUSALS,
} from "./admit.ts";
export { adopt, approve, auditKeyFingerprint, deny, forget, proposedRequest, revoke } from "./decide.ts";
export type { DeviceContext } from "./context.ts";
export { createPendingQueue } from "./pending-queue.ts";
export { enrol, type EnrolOutcome, readRequest, reenrol } from "./enrol.ts";
