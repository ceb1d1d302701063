// The root role, TUF 5.2 and 5.3: the root of trust, and the step from one root to the next.
import { createHash } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import { checkExpiry, checkSignatures, checkSignedAt } from "./checks.ts";
import { canonicalBytes } from "./format/canonical.ts";
import { type Metadata, parseEnvelope, parseSigned, type Role, type Root, rootSchema } from "./format/metadata.ts";
import { ROOT_BYTES_MAX } from "./limits.ts";
import type { TrustedMetadata } from "./trusted.ts";

/**
 * TUF 5.2: the root that comes from the image or the store. Its expiry does not matter.
 * @throws Fault `trust.too-large`, `trust.invalid`; `trust.bad-signature` when it is not signed by
 *   itself.
 */
export function trustRoot(bytes: Uint8Array): TrustedMetadata {
  const what = "trusted root";
  const envelope = parseEnvelope(bytes, ROOT_BYTES_MAX, what);
  const root = parseSigned(rootSchema, envelope, what);
  checkSignatures(envelope, { keys: root.signed.keys, role: root.signed.roles.root, what, clause: "5.2" });
  return { root, targets: new Map() };
}

/**
 * [OTA-3] TUF 5.3.3 to 5.3.7: version N+1, signed by the keys of N and by its own. The caller must
 * drop timestamp and snapshot when they were signed by keys that are gone, see {@link onlineKeys}.
 * @throws Fault `trust.too-large`, `trust.invalid`, `trust.bad-signature`, `trust.rollback`.
 */
export function updateRoot(trusted: TrustedMetadata, bytes: Uint8Array, nowMs: number): TrustedMetadata {
  const { signed: old } = trusted.root;
  const what = `root ${old.version + 1}`;
  const envelope = parseEnvelope(bytes, ROOT_BYTES_MAX, what);
  const clause = "5.3.4";
  const former = { keys: old.keys, role: old.roles.root, what: `${what}, by the keys of root ${old.version},`, clause };
  checkSignatures(envelope, former);
  const root = parseSigned(rootSchema, envelope, what);
  const { keys, roles } = root.signed;
  checkSignatures(envelope, { keys, role: roles.root, what: `${what}, by its own keys,`, clause });
  if (root.signed.version !== old.version + 1)
    throw new Fault(
      "trust.rollback",
      `${what} says it is version ${root.signed.version}: expected ${old.version + 1} (TUF 5.3.5)`,
    );
  checkSignedAt(root, nowMs, what);
  return { ...trusted, root };
}

/** [OTA-7] TUF 5.3.10, once there is no newer root. @throws Fault `trust.expired`. */
export function checkRootExpiry(trusted: TrustedMetadata, nowMs: number): void {
  checkExpiry(trusted.root, nowMs, `root ${trusted.root.signed.version}`, "5.3.10");
}

/**
 * [OTA-4] TUF 5.3.11: the keys of timestamp and snapshot, as one hex digest. When it changes, the
 * stored timestamp and snapshot are removed, so that versions which an attacker has driven up can
 * be left behind.
 */
export function onlineKeys({ signed }: Metadata<Root>): string {
  const keysOf = ({ keyids, threshold }: Role) => ({
    threshold,
    keys: [...keyids].sort().map((id) => [id, signed.keys.get(id) ?? null]),
  });
  const { timestamp, snapshot } = signed.roles;
  return createHash("sha256")
    .update(canonicalBytes([keysOf(timestamp), keysOf(snapshot)]))
    .digest("hex");
}
