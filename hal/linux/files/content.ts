// Content of files that anybody may have written, such as those of an update repository: bounded
// or read in pieces, and judged by hash or signature afterwards, not by owner.
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { Fault } from "../../fault.ts";
import { errnoOf, readFault } from "./faults.ts";
import { readUpTo } from "./read.ts";

export interface FileDigest {
  /** In bytes. */
  readonly length: number;
  /** 64 hex digits. */
  readonly sha256: string;
}

const DIGEST_BLOCK_BYTES = 65_536;

/**
 * Reads in pieces, however large the file is. Links are followed.
 * @returns undefined when there is no such file.
 * @throws Fault `file.not-regular`, `file.read-failed`.
 */
export async function digestFile(path: string): Promise<FileDigest | undefined> {
  return withContent(path, async (file) => {
    const hash = createHash("sha256");
    const block = new Uint8Array(DIGEST_BLOCK_BYTES);
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(block, 0, block.byteLength, null);
      if (bytesRead === 0) return { length, sha256: hash.digest("hex") };
      hash.update(block.subarray(0, bytesRead));
      length += bytesRead;
    }
  });
}

/**
 * The whole file. Links are followed, and its owner does not matter. [STA-32]
 * @returns undefined when there is no such file.
 * @throws Fault `file.too-large` above `bytesMax`; `file.not-regular`, `file.read-failed`.
 */
export async function readContent(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
  return withContent(path, async (file) => {
    const { size } = await file.stat();
    if (size > bytesMax) throw tooLarge(path, `${size} bytes, more than the limit of ${bytesMax}`);
    const bytes = await readUpTo(file, size + 1); // one more shows a file that grows
    if (bytes.byteLength > bytesMax) throw tooLarge(path, `more than ${bytesMax} bytes`);
    return bytes;
  });
}

function tooLarge(path: string, size: string): Fault {
  return new Fault("file.too-large", `read "${path}": it has ${size}`);
}

/** O_NONBLOCK: a pipe that nobody writes to is not waited for. */
async function withContent<T>(path: string, read: (file: FileHandle) => Promise<T>): Promise<T | undefined> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (!(await file.stat()).isFile()) throw new Fault("file.not-regular", `read "${path}": it is not a regular file`);
    return await read(file);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw readFault(error, `read "${path}"`);
  }
}
