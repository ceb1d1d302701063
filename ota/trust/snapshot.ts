// The snapshot role, TUF 5.5, which says which versions of the targets files belong together.
import { assert, Fault } from "../../hal/fault.ts";
import { checkBytes, checkExpiry, openSigned } from "./checks.ts";
import { type Metadata, type Snapshot, snapshotSchema } from "./format/metadata.ts";
import { SNAPSHOT_BYTES_MAX } from "./limits.ts";
import type { TrustedMetadata } from "./trusted.ts";

/**
 * [OTA-5] [OTA-6] TUF 5.5.2 to 5.5.6: the snapshot that the trusted timestamp names.
 * @param nowMs undefined for stored metadata, whose expiry is not checked. [OTA-7]
 * @throws Fault `trust.too-large`, `trust.invalid`, `trust.mismatch`, `trust.bad-signature`,
 *   `trust.rollback`, `trust.expired`.
 */
export function updateSnapshot(trusted: TrustedMetadata, bytes: Uint8Array, nowMs: number | undefined): TrustedMetadata {
  assert(trusted.timestamp !== undefined, "the timestamp comes before the snapshot");
  const announced = trusted.timestamp.signed.meta["snapshot.json"];
  checkBytes(bytes, announced, "snapshot", "5.5.2");
  const snapshot = signedSnapshot(trusted, bytes);
  if (snapshot.signed.version !== announced.version)
    throw new Fault(
      "trust.mismatch",
      `snapshot ${snapshot.signed.version} is not version ${announced.version}, which was announced (TUF 5.5.4)`,
    );
  for (const [name, { version }] of trusted.snapshot?.signed.meta ?? []) {
    const next = snapshot.signed.meta.get(name)?.version;
    if (next === undefined)
      throw new Fault("trust.rollback", `snapshot ${announced.version} no longer lists "${name}" (TUF 5.5.5)`);
    if (next < version)
      throw new Fault(
        "trust.rollback",
        `snapshot ${announced.version} takes "${name}" from ${version} back to ${next} (TUF 5.5.5)`,
      );
  }
  checkExpiry(snapshot, nowMs, `snapshot ${announced.version}`, "5.5.6");
  return { root: trusted.root, timestamp: trusted.timestamp, snapshot, targets: new Map() };
}

/**
 * A stored snapshot, which was accepted before and may be older than the one that the timestamp
 * names. It is kept for the comparison of 5.5.5.
 * @throws Fault `trust.too-large`, `trust.invalid`, `trust.bad-signature`; `trust.mismatch` for
 *   other bytes of the version that the timestamp names.
 */
export function restoreSnapshot(trusted: TrustedMetadata, bytes: Uint8Array): TrustedMetadata {
  const snapshot = signedSnapshot(trusted, bytes);
  const announced = trusted.timestamp?.signed.meta["snapshot.json"];
  if (announced?.version === snapshot.signed.version) checkBytes(bytes, announced, "stored snapshot", "5.5.2");
  return { ...trusted, snapshot };
}

function signedSnapshot(trusted: TrustedMetadata, bytes: Uint8Array): Metadata<Snapshot> {
  const { keys, roles } = trusted.root.signed;
  return openSigned(snapshotSchema, bytes, SNAPSHOT_BYTES_MAX, { keys, role: roles.snapshot, what: "snapshot", clause: "5.5.3" });
}
