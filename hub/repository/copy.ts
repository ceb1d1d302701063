// Copying files of a repository, each whole or not at all, as [STA-1] has it: neither a cut nor a reader ever sees half of one.
import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { copyFile, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { asFault, Fault } from "../../hal/fault.ts";
import { DEPTH_MAX } from "./limits.ts";
import { isServable } from "./files.ts";

/** @throws Fault `release.store-failed`. */
export async function copyWhole(from: string, path: string): Promise<void> {
  const temporary = join(dirname(path), `.new-${randomUUID()}`);
  try {
    await mkdir(dirname(path), { recursive: true });
    try {
      await copyFile(from, temporary);
      await synced(temporary);
      await rename(temporary, path);
    } finally {
      await rm(temporary, { force: true });
    }
    await using directory = await open(dirname(path), "r");
    await directory.sync();
  } catch (error) {
    throw asFault(error, "release.store-failed", `copy "${from}" to "${path}"`);
  }
}

async function synced(path: string): Promise<void> {
  await using file = await open(path, "r+");
  await file.chmod(0o644);
  await file.sync();
}

/**
 * Every file below `directory`, by its path from there. What is being written (`.new-...`, `...new-123`) is left out.
 * @throws Fault `release.store-failed` for a link, and for a name that could not be served. [OTA-37]
 */
export async function treeOf(directory: string): Promise<readonly string[]> {
  const found: string[] = [];
  const walk = async (below: string): Promise<void> => {
    for (const entry of await readdir(join(directory, below), { withFileTypes: true })) {
      const path = below === "" ? entry.name : `${below}/${entry.name}`;
      if (entry.name.startsWith(".") || /\.new-\d+$/.test(entry.name)) continue;
      if (!isServable(path) || !(entry.isFile() || entry.isDirectory()))
        throw new Fault(
          "release.store-failed",
          `publish "${join(directory, path)}": expected plain files, at most ${DEPTH_MAX} folders deep, with names of letters, digits, '.', '_', '-'`,
        );
      if (entry.isDirectory()) await walk(path);
      else found.push(path);
    }
  };
  try {
    await walk("");
    return found;
  } catch (error) {
    throw asFault(error, "release.store-failed", `read "${directory}"`);
  }
}

/** Chunks are named by their content: one of the same name and size is the same. Everything else is compared. */
export async function isSame(source: string, path: string): Promise<boolean> {
  const [here, there] = [await sizeOf(source), await sizeOf(path)];
  if (here !== there) return false;
  return path.endsWith(".cacnk") || (await digestOf(source))?.sha256 === (await digestOf(path))?.sha256;
}

async function sizeOf(path: string): Promise<number | undefined> {
  return absent(path, async () => (await stat(path)).size);
}

/** @returns undefined when there is no such file. @throws Fault `release.store-failed`, also above `bytesMax`. */
export async function readWhole(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
  return absent(path, async () => {
    const { size } = await stat(path);
    if (size > bytesMax)
      throw new Fault("release.store-failed", `read "${path}": it has ${size} bytes, at most ${bytesMax} are expected`);
    return readFile(path);
  });
}

export interface Digest {
  readonly length: number;
  /** 64 hex digits. */
  readonly sha256: string;
}

/** Reads in pieces, however large the file is. @returns undefined when there is no such file. @throws Fault `release.store-failed`. */
export async function digestOf(path: string): Promise<Digest | undefined> {
  return absent(path, async () => {
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

async function absent<T>(path: string, read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw asFault(error, "release.store-failed", `read "${path}"`);
  }
}
