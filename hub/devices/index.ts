// Decisions about devices: which may enrol, which may connect, and what operators decide.
export {
  admit,
  type AdmissionRefusal,
  type AdmittedDevice,
  type DeviceAdmission,
  identify,
  readStanding,
  readStandings,
  REFUSALS,
} from "./admit.ts";
export { adopt, approve, deny, forget, proposedRequest, revoke } from "./decide.ts";
export { isWeakerClaim, protectionName } from "./protection.ts";
export { admitBoard, areTwoBoards, boardOf, claimOf, isLetIn, isMacAlone, otherBoard, OWN_ID } from "./boards.ts";
export type { DeviceContext } from "./context.ts";
export { createPendingQueue } from "./pending-queue.ts";
export { enrol, type EnrolOutcome, readRequest } from "./enrol.ts";
export { auditKeyFingerprint, expectNamed, requestDigest } from "./named.ts";
export { reenrol } from "./rekey.ts";
export { allowRekey, replace, type ReplacedKey, settleSuccessor } from "./replace.ts";
export { replaceCommand } from "./refusal.ts";
