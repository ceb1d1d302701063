// The only verifier of everything that may change a device: TUF 1.0.34. Pure except for its store,
// which gets files, a fetch function and the time as arguments.
export type { Catalogue, Listing } from "./catalogue.ts";
export { countingKeyIds } from "./checks.ts";
export { timeFloor } from "./floor.ts";
export {
  customOf,
  floorAfterCommit,
  type DeviceFacts,
  judgeTarget,
  type TargetRefusal,
  type TargetVerdict,
  whyNotFor,
} from "./judge.ts";
export { checkTarget, targetFileName } from "./payload.ts";
export type { Target } from "./search.ts";
export type { Fetch, Source } from "./session.ts";
export { ROOT_BYTES_MAX } from "./limits.ts";
export { offered, openTrustStore, type TrustStore } from "./store.ts";
export type { Damage } from "./stored.ts";
export { checkContents, type ContentPorts } from "./contents.ts";
export { type CheckedRepository, checkRepository, type ReleasedTarget, surveyRepository, type SurveyOptions } from "./survey.ts";
export type { TrustedMetadata } from "./trusted.ts";
