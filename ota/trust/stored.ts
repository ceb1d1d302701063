// Metadata at rest: the exact bytes that were received, one file for each role, without the version
// in its name. [OTA-8]
import { createHash } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import type { DurableFiles } from "../../hal/ports.ts";

/** The file that says under which keys the stored timestamp and snapshot were accepted. [OTA-4] */
export const ONLINE_KEYS_FILE = "online-keys";
export const ONLINE_KEYS_BYTES_MAX = 128;

const PLAIN_NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/u;

/**
 * The repository chooses the names of roles. A role whose name is not a plain file name is stored
 * under its hash.
 */
export function storedName(role: string): string {
  return PLAIN_NAME.test(role) ? `${role}.json` : `role-${createHash("sha256").update(role).digest("hex")}.json`;
}

/** A stored file that can no longer be trusted. It is reported, and fetched again. */
export interface Damage {
  readonly name: string;
  readonly fault: Fault;
}

/**
 * What a cut, a bad sector, an older program or a stranger leaves behind. All of it is reported,
 * and fetched again. [STA-4]
 */
const DAMAGE = [
  "trust.invalid",
  "trust.too-large",
  "trust.bad-signature",
  "trust.mismatch",
  "file.too-large",
  "file.not-regular",
  "file.untrusted-owner",
  "file.read-failed",
];

/**
 * [OTA-23] A stored file, if it exists and `accept` accepts it. A damaged file counts as missing
 * and is never fatal.
 * @throws Fault of `files`, other than those of damage.
 */
export async function readStored<T>(
  files: DurableFiles,
  name: string,
  bytesMax: number,
  accept: (bytes: Uint8Array) => T,
): Promise<T | Damage | undefined> {
  try {
    const bytes = await files.get(name, bytesMax);
    return bytes === undefined ? undefined : accept(bytes);
  } catch (error) {
    return asDamage(name, error);
  }
}

/** @throws `error` when it is not damage. */
export function asDamage(name: string, error: unknown): Damage {
  if (error instanceof Fault && DAMAGE.includes(error.code)) return { name, fault: error };
  throw error;
}

export function isDamage(value: unknown): value is Damage {
  return typeof value === "object" && value !== null && "fault" in value;
}
