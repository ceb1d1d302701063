// The targets roles, TUF 5.6: the top-level one and those it delegates to.
import { Fault } from "../../hal/fault.ts";
import { checkBytes, checkExpiry, checkSignedAt, openSigned } from "./checks.ts";
import type { TufKey } from "./format/keys.ts";
import { type Role, targetsSchema } from "./format/metadata.ts";
import { TARGETS_BYTES_MAX } from "./limits.ts";
import { type Chain, chainKey, delegatorOf, metaOf, roleOf, type TrustedMetadata } from "./trusted.ts";

/**
 * [OTA-6] TUF 5.6.2 to 5.6.5, for the top-level targets or, through delegators that are already
 * trusted, for a delegated role.
 * @param nowMs undefined for stored metadata, whose dates are not checked. [OTA-7]
 * @throws Fault `trust.too-large`, `trust.invalid`, `trust.mismatch`, `trust.bad-signature`,
 *   `trust.expired`; `trust.missing` when the snapshot does not list it.
 */
export function updateTargets(
  trusted: TrustedMetadata,
  chain: Chain,
  bytes: Uint8Array,
  nowMs: number | undefined,
): TrustedMetadata {
  const what = `"${roleOf(chain)}"`;
  const announced = metaOf(trusted, roleOf(chain));
  if (announced === undefined) throw new Fault("trust.missing", `${what} is not listed by the snapshot (TUF 5.6.4)`);
  checkBytes(bytes, announced, what, "5.6.2");
  const targets = openSigned(targetsSchema, bytes, TARGETS_BYTES_MAX, { ...authority(trusted, chain), what, clause: "5.6.3" });
  if (targets.signed.version !== announced.version)
    throw new Fault(
      "trust.mismatch",
      `${what} ${targets.signed.version} is not version ${announced.version}, which was announced (TUF 5.6.4)`,
    );
  checkExpiry(targets, nowMs, `${what} ${announced.version}`, "5.6.5");
  checkSignedAt(targets, nowMs, `${what} ${announced.version}`);
  return { ...trusted, targets: new Map([...trusted.targets, [chainKey(chain), targets]]) };
}

/**
 * [OTA-7] [OTA-8] A stored file, which was accepted before: its signatures are checked, but not
 * whether the snapshot names exactly this version. So a cycle that ended in the middle takes
 * nothing away from the device.
 * @throws Fault `trust.too-large`, `trust.invalid`, `trust.bad-signature`.
 */
export function restoreTargets(trusted: TrustedMetadata, chain: Chain, bytes: Uint8Array): TrustedMetadata {
  const what = `stored "${roleOf(chain)}"`;
  const targets = openSigned(targetsSchema, bytes, TARGETS_BYTES_MAX, { ...authority(trusted, chain), what, clause: "5.6.3" });
  return { ...trusted, targets: new Map([...trusted.targets, [chainKey(chain), targets]]) };
}

/**
 * [OTA-10] The keys that may sign, as the last delegator of exactly this chain says, never one of
 * an earlier search.
 */
function authority(trusted: TrustedMetadata, chain: Chain): { readonly keys: ReadonlyMap<string, TufKey>; readonly role: Role } {
  if (chain.length === 1) return { keys: trusted.root.signed.keys, role: trusted.root.signed.roles.targets };
  const delegations = delegatorOf(trusted, chain)?.signed.delegations;
  const role = delegations?.roles.find(({ name }) => name === roleOf(chain));
  if (delegations === undefined || role === undefined)
    throw new Fault("trust.missing", `"${chain.at(-2)}" delegates nothing to "${roleOf(chain)}" (TUF 5.6.7)`);
  return { keys: delegations.keys, role };
}
