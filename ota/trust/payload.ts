// The check of the target file itself, TUF 5.7. [OTA-6]
import { Fault } from "../../hal/fault.ts";
import { checkBytes } from "./checks.ts";
import { targetName } from "./format/names.ts";
import type { Target } from "./search.ts";
import type { TrustedMetadata } from "./trusted.ts";

/**
 * TUF 5.7.3: the whole file is checked before a byte of it is used.
 * @throws Fault `trust.mismatch`.
 */
export function checkTarget({ path, file }: Target, bytes: Uint8Array): void {
  checkBytes(bytes, file, `target "${path}"`, "5.7.3");
}

/**
 * The file's name below the repository's `targets/`.
 * @throws Fault `trust.mismatch` for a target without a hash of a known algorithm.
 */
export function targetFileName({ root }: TrustedMetadata, { path, file }: Target): string {
  const hash = file.hashes.get("sha256") ?? file.hashes.get("sha512");
  if (hash === undefined || !/^[0-9a-f]{64}([0-9a-f]{64})?$/u.test(hash))
    throw new Fault("trust.mismatch", `target "${path}" is announced without a SHA-256 or SHA-512 hash (TUF 5.7.3)`);
  return targetName(path, root.signed.consistent_snapshot ? hash : undefined);
}
