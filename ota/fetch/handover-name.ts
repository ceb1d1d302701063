// Under which name a file of the repository is left with the courier: a function of its path alone. Pure. [OTA-40]
import { createHash } from "node:crypto";

/**
 * [OTA-40] `f-` and the SHA-256 of the path, hex: whatever the path is, a name that stays in its directory, and never that of a chunk.
 * @param path of the repository, relative to its root, as the warden wants it.
 */
export function handoverName(path: string): string {
  return `f-${createHash("sha256").update(path, "utf8").digest("hex")}`;
}
