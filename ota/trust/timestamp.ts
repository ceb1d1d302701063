// The timestamp role, TUF 5.4, which names the newest snapshot.
import { Fault } from "../../hal/fault.ts";
import { checkExpiry, openSigned } from "./checks.ts";
import { timestampSchema } from "./format/metadata.ts";
import { TIMESTAMP_BYTES_MAX } from "./limits.ts";
import type { TrustedMetadata } from "./trusted.ts";

/**
 * [OTA-5] TUF 5.4.2 to 5.4.4.
 * @param nowMs undefined for stored metadata, whose expiry is not checked. [OTA-7]
 * @returns `trusted` itself when it already has this version: the offered bytes are dropped
 *   (5.4.3.1).
 * @throws Fault `trust.too-large`, `trust.invalid`, `trust.bad-signature`, `trust.rollback`,
 *   `trust.expired`.
 */
export function updateTimestamp(trusted: TrustedMetadata, bytes: Uint8Array, nowMs: number | undefined): TrustedMetadata {
  const { keys, roles } = trusted.root.signed;
  const authority = { keys, role: roles.timestamp, what: "timestamp", clause: "5.4.2" };
  const timestamp = openSigned(timestampSchema, bytes, TIMESTAMP_BYTES_MAX, authority);

  const old = trusted.timestamp?.signed;
  const { version, meta } = timestamp.signed;
  if (old !== undefined && version < old.version)
    throw new Fault(
      "trust.rollback",
      `timestamp ${version} is older than ${old.version}, which is trusted already (TUF 5.4.3.1)`,
    );
  if (trusted.timestamp !== undefined && version === old?.version) {
    checkExpiry(trusted.timestamp, nowMs, `timestamp ${version}`, "5.4.4");
    return trusted;
  }
  // The stored snapshot counts too: a timestamp that was damaged and fetched again must not lead
  // back behind it.
  const known = Math.max(old?.meta["snapshot.json"].version ?? 0, trusted.snapshot?.signed.version ?? 0);
  const named = meta["snapshot.json"].version;
  if (named < known)
    throw new Fault(
      "trust.rollback",
      `timestamp ${version} names snapshot ${named}, but ${known} is known already (TUF 5.4.3.2)`,
    );
  checkExpiry(timestamp, nowMs, `timestamp ${version}`, "5.4.4");
  return { ...trusted, timestamp };
}
