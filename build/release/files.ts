// Files of a repository: written whole or not at all, as [STA-1] has it, so that neither a cut nor a reader ever sees half of one.
import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { copyFile, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { asFault, Fault } from "../../hal/fault.ts";
import { hasCode } from "../errno.ts";

/** @throws Fault `release.store-failed`. */
export async function writeWhole(path: string, bytes: Uint8Array, mode = 0o644): Promise<void> {
  await placed(path, async (temporary) => {
    const file = await open(temporary, "wx", mode);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  });
}

/** A copy of `from`, however large. @throws Fault `release.store-failed`. */
export async function copyWhole(from: string, path: string): Promise<void> {
  await placed(path, async (temporary) => {
    await copyFile(from, temporary);
    await using file = await open(temporary, "r+");
    await file.chmod(0o644);
    await file.sync();
  });
}

async function placed(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = join(dirname(path), `.new-${randomUUID()}`);
  try {
    await mkdir(dirname(path), { recursive: true });
    try {
      await write(temporary);
      await rename(temporary, path);
    } finally {
      await rm(temporary, { force: true });
    }
    await using directory = await open(dirname(path), "r");
    await directory.sync();
  } catch (error) {
    throw asFault(error, "release.store-failed", `write "${path}"`);
  }
}

/** @returns undefined when there is no such file. @throws Fault `release.store-failed`. */
export async function readWhole(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
  try {
    const { size } = await stat(path);
    if (size > bytesMax)
      throw new Fault("release.store-failed", `read "${path}": it has ${size} bytes, at most ${bytesMax} are expected`);
    return await readFile(path);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw asFault(error, "release.store-failed", `read "${path}"`);
  }
}

export interface Digest {
  readonly length: number;
  readonly sha256: string;
}

/** @returns undefined when there is no such file. @throws Fault `release.store-failed`. */
export async function digestOf(path: string): Promise<Digest | undefined> {
  const hash = createHash("sha256");
  let length = 0;
  try {
    for await (const chunk of createReadStream(path)) {
      const bytes: unknown = chunk;
      if (!(bytes instanceof Uint8Array)) continue;
      hash.update(bytes);
      length += bytes.byteLength;
    }
    return { length, sha256: hash.digest("hex") };
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw asFault(error, "release.store-failed", `read "${path}"`);
  }
}
