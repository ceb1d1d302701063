// Who must sign a role, and how far its signatures are: judged by the device's own verifier.
// [OTA-2] [OTA-28]
import { countingKeyIds } from "../../ota/trust/index.ts";
import type { TufKey } from "../../ota/trust/format/index.ts";
import { type Envelope, parseSigned, type Role, rootSchema, targetsSchema } from "../../ota/trust/format/metadata.ts";

export interface SigningAuthority {
  readonly keys: ReadonlyMap<string, TufKey>;
  readonly role: Role;
  /** Names the keys for people: `the keys of root 1`. */
  readonly by: string;
}

/** How far the signatures of one file are, by one authority. */
export interface Progress {
  readonly by: string;
  readonly threshold: number;
  /** Ids of the keys whose signatures count. */
  readonly signed: readonly string[];
  /** Ids of the keys that have not signed yet. */
  readonly open: readonly string[];
}

/** The keys that a root, given as a draft, names for a top-level role. */
export function topLevelAuthority(role: "root" | "timestamp" | "snapshot" | "targets", root: unknown): SigningAuthority {
  const { keys, roles, version } = parseSigned(rootSchema, { signed: root, signatures: [] }, "root").signed;
  return { keys, role: roles[role], by: `the keys of root ${version}` };
}

/** @returns undefined when `targets` delegates nothing to `role`. */
export function delegatedAuthority(role: string, targets: unknown): SigningAuthority | undefined {
  const { delegations, version } = parseSigned(targetsSchema, { signed: targets, signatures: [] }, "targets").signed;
  const delegation = delegations?.roles.find(({ name }) => name === role);
  if (delegations === undefined || delegation === undefined) return undefined;
  return { keys: delegations.keys, role: delegation, by: `the keys of targets ${version}` };
}

/** @throws Fault `trust.invalid` for a file without a canonical form. */
export function progressOf(envelope: Envelope, { keys, role, by }: SigningAuthority): Progress {
  const signed = countingKeyIds(envelope, { keys, role });
  return { by, threshold: role.threshold, signed, open: role.keyids.filter((id) => !signed.includes(id)) };
}

export function isReached(envelope: Envelope, authorities: readonly (SigningAuthority | undefined)[]): boolean {
  return authorities.every((each) => each !== undefined && progressOf(envelope, each).signed.length >= each.role.threshold);
}

/** `1 of 2 signatures, needs one more of the key ids a1b2, c3d4`. */
export function progressText(progress: readonly Progress[]): string {
  const texts = progress.map(({ by, threshold, signed, open }) => {
    const missing = threshold - signed.length;
    const count = `${signed.length} of ${threshold} signatures by ${by}`;
    return missing <= 0 ? count : `${count}, needs ${missing === 1 ? "one" : missing} more of the key ids ${open.join(", ")}`;
  });
  return texts.join("; ");
}
