// Bounded reading of files that another user may have tampered with. [STA-2]
import { constants } from "node:fs";
import { Fault } from "../../fault.ts";
import { errnoOf, readFault } from "./faults.ts";
import { type FileOps, type OpenFile, SAFE } from "./ops.ts";
import { checkPrivateFile, checkTrustedFile } from "./trust.ts";

/** Room for an append of ours between fstat and read. What is beyond it is for the next read. */
const GROWTH_BYTES_MAX = 4096;

/**
 * [STA-2] Opens without following a link (O_NOFOLLOW) and without waiting for a pipe's writer
 * (O_NONBLOCK). Checks the open file with fstat(2), so that nothing can be swapped in between, and
 * reads at most `bytesMax` bytes, even if the file claims another size.
 * @returns the bytes, or undefined when there is no such file.
 * @param access `private` for a private key: others may not read it either. [STA-30]
 * @throws Fault `file.too-large`, `file.untrusted-owner`, `file.not-regular`, `file.read-failed`.
 */
export async function readTrusted(
  ops: FileOps,
  path: string,
  bytesMax: number,
  access: "shared" | "private" = "shared",
): Promise<Uint8Array | undefined> {
  try {
    const file = await ops.open(path, constants.O_RDONLY | SAFE);
    try {
      const facts = await file.stat();
      (access === "private" ? checkPrivateFile : checkTrustedFile)(facts, path);
      if (facts.size > bytesMax) throw tooLarge(path, bytesMax);
      const bytes = await readUpTo(file, facts.size + GROWTH_BYTES_MAX);
      if (bytes.byteLength > bytesMax) throw tooLarge(path, bytesMax);
      return bytes;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw readFault(error, `read "${path}"`);
  }
}

/** @returns the bytes of `file` from its current position on, at most `bytesMax`. */
export async function readUpTo(file: OpenFile, bytesMax: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(bytesMax);
  let length = 0;
  while (length < bytesMax) {
    const { bytesRead } = await file.read(buffer, length, bytesMax - length, null);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.subarray(0, length);
}

function tooLarge(path: string, bytesMax: number): Fault {
  return new Fault("file.too-large", `read "${path}": it has more than ${bytesMax} bytes`);
}
