// The grant of a key upgrade as text for people. Pure, ASCII. [CON-11] [ID-66]
import type { KeyGrant } from "../../warden/identity/format.ts";

/** @param grant undefined when the upgrade is done already. */
export function renderUpgrade(grant: KeyGrant | undefined): string {
  if (grant === undefined) return "The key was upgraded already.\n";
  const until = grant.expires === undefined ? "" : ` until ${grant.expires.slice(0, 10)}`;
  return `This device makes a new key (${grant.to}) and asks the hub for its certificate${until}.\nThe present key stays in use until the hub has accepted the new one.\n`;
}
