// Whether an update holds the machine. [OTA-41]
import type { Phase } from "./record.ts";

/** The phases in which a release holds the machine, until it is committed or has ended. [OTA-41] */
const ACTIVE: readonly Phase["at"][] = ["fetching", "verified", "written", "trying", "committing", "rolling-back"];

/** True while a release holds the machine: no other release may be taken up. */
export function isUpdateActive(at: Phase["at"]): boolean {
  return ACTIVE.includes(at);
}
