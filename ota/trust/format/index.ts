// The part of the trust core that others may read: the release tool that signs, and tests that
// attack.
export { canonicalBytes } from "./canonical.ts";
export { keyIdOf, signatureOf, type TufKey, tufKeyOf } from "./keys.ts";
export { TOP_LEVEL_ROLES } from "./metadata.ts";
export { momentText } from "./moment.ts";
export { metadataName, targetName } from "./names.ts";
export {
  type Audience,
  audienceSchema,
  COUNTER_MAX,
  DELEGATED_ROLES,
  groupSchema,
  hardwareIdSchema,
  lineSchema,
  reachOf,
  type TargetCustom,
  targetCustomSchema,
  targetNameSchema,
  tenantSchema,
} from "./target.ts";
