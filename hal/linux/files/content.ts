// Content of files that anybody may have written, such as those of an update repository: bounded
// or read in pieces, and judged by hash or signature afterwards, not by owner.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { Fault } from "../../fault.ts";
import { errnoOf, readFault } from "./faults.ts";

export interface FileDigest {
  /** In bytes. */
  readonly length: number;
  /** 64 hex digits. */
  readonly sha256: string;
}

/**
 * Reads in pieces, however large the file is. Links are followed.
 * @returns undefined when there is no such file.
 * @throws Fault `file.not-regular`, `file.read-failed`.
 */
export async function digestFile(path: string): Promise<FileDigest | undefined> {
  return undefinedIfMissing(path, async () => {
    const hash = createHash("sha256");
    let length = 0;
    for await (const chunk of createReadStream(path)) {
      const bytes: unknown = chunk;
      if (!(bytes instanceof Uint8Array)) continue;
      hash.update(bytes);
      length += bytes.byteLength;
    }
    return { length, sha256: hash.digest("hex") };
  });
}

/**
 * The whole file. Links are followed, and its owner does not matter.
 * @returns undefined when there is no such file.
 * @throws Fault `file.too-large` above `bytesMax`; `file.not-regular`, `file.read-failed`.
 */
export async function readContent(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
  return undefinedIfMissing(path, async () => {
    const { size } = await stat(path);
    if (size > bytesMax)
      throw new Fault("file.too-large", `read "${path}": it has ${size} bytes, more than the limit of ${bytesMax}`);
    return readFile(path);
  });
}

async function undefinedIfMissing<T>(path: string, read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw readFault(error, `read "${path}"`);
  }
}
