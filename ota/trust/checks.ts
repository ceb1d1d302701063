// The checks that several steps share. Each throws a Fault or returns nothing.
import type { GenericSchema, InferOutput } from "valibot";
import { createHash } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import { canonicalBytes } from "./format/canonical.ts";
import { type TufKey, verifyingKey } from "./format/keys.ts";
import {
  type Envelope,
  type Metadata,
  type MetaFile,
  parseEnvelope,
  parseSigned,
  type Role,
  type TargetFile,
} from "./format/metadata.ts";
import { momentMs } from "./format/moment.ts";
import { SIGNED_AHEAD_MS_MAX } from "./limits.ts";

const HEX_BYTES = /^(?:[0-9a-f]{2})+$/iu;

/** Who may sign a file, and how messages name it. */
export interface RoleAuthority {
  readonly keys: ReadonlyMap<string, TufKey>;
  readonly role: Role;
  readonly what: string;
  /** Of the TUF specification. */
  readonly clause: string;
}

/**
 * [OTA-2] TUF 5.3.4, 5.4.2, 5.5.3, 5.6.3: signed by a threshold of the role's keys. Different key
 * ids of different keys count: the same key under two ids is one key. Wrong and unknown signatures
 * do no harm beside enough good ones.
 *
 * The canonical form of a file is made only when its signatures could reach the threshold: a file
 * that nobody signed costs its parsing and no more. [STA-12]
 * @throws Fault `trust.bad-signature`; `trust.invalid` for a signed part without a canonical form.
 */
export function checkSignatures(envelope: Envelope, authority: RoleAuthority): void {
  const { role, what, clause } = authority;
  const expectEnough = (count: number): void => {
    if (count >= role.threshold) return;
    const message = `${what} is signed by ${count} of the keys that may sign it, but ${role.threshold} are needed (TUF ${clause})`;
    throw new Fault("trust.bad-signature", message);
  };
  expectEnough(mayCount(envelope, authority).length);
  expectEnough(countingKeyIds(envelope, authority).length);
}

/**
 * [OTA-2] The ids of the keys whose signatures count: one for each key of the role, however many
 * ids it has.
 * @throws Fault `trust.invalid` for a signed part without a canonical form.
 */
export function countingKeyIds(envelope: Envelope, authority: Pick<RoleAuthority, "keys" | "role">): readonly string[] {
  const message = canonicalBytes(envelope.signed);
  const counted = new Map<string, string>();
  for (const { keyid, sig } of mayCount(envelope, authority)) {
    const listed = authority.keys.get(keyid);
    const key = listed === undefined ? undefined : verifyingKey(listed);
    if (key === undefined || counted.has(key.fingerprint)) continue;
    if (key.verifies(message, Buffer.from(sig, "hex"))) counted.set(key.fingerprint, keyid);
  }
  return [...counted.values()];
}

function mayCount({ signatures }: Envelope, { keys, role }: Pick<RoleAuthority, "keys" | "role">): Envelope["signatures"] {
  return signatures.filter(({ keyid, sig }) => role.keyids.includes(keyid) && keys.has(keyid) && HEX_BYTES.test(sig));
}

/**
 * Reads a file in the order of cost: size and shape, signatures, then the schema of what was
 * signed. [STA-12]
 * @throws Fault `trust.too-large`, `trust.invalid`, `trust.bad-signature`.
 */
export function openSigned<const S extends GenericSchema>(
  schema: S,
  bytes: Uint8Array,
  bytesMax: number,
  authority: RoleAuthority,
): Metadata<InferOutput<S>> {
  const envelope = parseEnvelope(bytes, bytesMax, authority.what);
  checkSignatures(envelope, authority);
  return parseSigned(schema, envelope, authority.what);
}

/**
 * [OTA-6] TUF 5.5.2, 5.6.2: length and hashes are those that the parent announces, as far as it
 * announces any.
 * @throws Fault `trust.mismatch`.
 */
export function checkBytes(bytes: Uint8Array, announced: MetaFile | TargetFile, what: string, clause: string): void {
  if (announced.length !== undefined && bytes.byteLength !== announced.length)
    throw new Fault(
      "trust.mismatch",
      `${what} has ${bytes.byteLength} bytes, but ${announced.length} were announced (TUF ${clause})`,
    );
  if (announced.hashes === undefined) return;
  const known = [...announced.hashes].filter(([algorithm]) => algorithm === "sha256" || algorithm === "sha512");
  if (known.length === 0)
    throw new Fault("trust.mismatch", `${what} is announced without a SHA-256 or SHA-512 hash (TUF ${clause})`);
  for (const [algorithm, hash] of known)
    if (createHash(algorithm).update(bytes).digest("hex") !== hash)
      throw new Fault("trust.mismatch", `${what} is not the one announced: its ${algorithm} differs (TUF ${clause})`);
}

/**
 * [OTA-7] TUF 5.3.10, 5.4.4, 5.5.6, 5.6.5: not expired at the start of the refresh.
 * @param nowMs undefined for stored metadata, whose expiry is not checked.
 * @throws Fault `trust.expired`.
 */
export function checkExpiry(
  metadata: Metadata<{ readonly expires: string }>,
  nowMs: number | undefined,
  what: string,
  clause: string,
): void {
  const { expires } = metadata.signed;
  if (nowMs !== undefined && !(momentMs(expires) > nowMs))
    throw new Fault("trust.expired", `${what} expired at ${expires}: the repository is stale or frozen (TUF ${clause})`);
}

/**
 * [OTA-22] A signing date in the future would raise the floor of the clock above every time that
 * the hub can report. Then neither the hub's time nor anything that repairs it would ever be
 * trusted.
 * @param nowMs undefined for stored metadata, which was checked when it was accepted.
 * @throws Fault `trust.invalid`.
 */
export function checkSignedAt(
  metadata: Metadata<{ readonly signedAt?: string | undefined }>,
  nowMs: number | undefined,
  what: string,
): void {
  const { signedAt } = metadata.signed;
  if (nowMs === undefined || signedAt === undefined || momentMs(signedAt) - nowMs <= SIGNED_AHEAD_MS_MAX) return;
  throw new Fault(
    "trust.invalid",
    `${what} says that it was signed at ${signedAt}, but it is ${new Date(nowMs).toISOString()}: sign it again with a correct clock`,
  );
}
