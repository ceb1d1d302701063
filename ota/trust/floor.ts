// The time floor: the earliest time it can be, proven by signatures of offline keys. Pure. [OTA-13]
import { momentMs } from "./format/moment.ts";
import type { TrustedMetadata } from "./trusted.ts";

/**
 * [OTA-13] The newest of the build date and `signedAt` of root, targets and delegated roles.
 * Timestamp and snapshot, whose keys are online, and the system clock never count. A `signedAt`
 * above the ceiling is a mistake of its signer and does not count either, because it would put the
 * clock out of reach.
 */
export function timeFloor(trusted: TrustedMetadata, buildDateMs: number, ceilingMs: number): number {
  const signed = [trusted.root, ...trusted.targets.values()].flatMap(({ signed: { signedAt } }) =>
    signedAt === undefined ? [] : [momentMs(signedAt)],
  );
  return Math.max(buildDateMs, ...signed.filter((unixMs) => unixMs <= ceilingMs));
}
