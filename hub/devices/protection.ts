// How claims about the protection of keys are compared and worded. [ID-61]
import { isWeaker, type Protection } from "../../hal/format/identity.ts";

/**
 * Whether `claimed` is weaker than `inForce`. A key without a claim may lie in a file, so it counts
 * as one that does.
 */
export function isWeakerClaim(claimed: Protection | undefined, inForce: Protection | undefined): boolean {
  return isWeaker(claimed ?? "file", inForce ?? "file");
}

/** For journal, list and JSON. */
export function protectionName(protection: Protection | undefined): Protection | "unknown" {
  return protection ?? "unknown";
}
