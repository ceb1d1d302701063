// Files of a repository: listed, compared and copied. What fails is `release.store-failed`.
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { asFault, Fault } from "../../hal/fault.ts";
import { copyDurably, digestFile, type FileDigest, type FileOps, readContent } from "../../hal/linux/files/index.ts";
import { DEPTH_MAX } from "./limits.ts";
import { isServable } from "./files.ts";

/**
 * [STA-1] Neither a power cut nor a reader ever meets half of the copy. Its mode is 0644.
 * @throws Fault `release.store-failed`.
 */
export async function putCopy(from: string, path: string, ops?: FileOps): Promise<void> {
  await inStore(`copy "${from}" to "${path}"`, () => copyDurably(from, path, ops && { ops }));
}

/**
 * Every file below `directory`, by its path from there. Temporary files of writers are left out
 * (`.new-...`, `...new-123`).
 * @throws Fault `release.store-failed` for a link, and for a name that could not be served.
 *   [OTA-37]
 */
export async function listFiles(directory: string): Promise<readonly string[]> {
  const found: string[] = [];
  const walk = async (below: string): Promise<void> => {
    for (const entry of await readdir(join(directory, below), { withFileTypes: true })) {
      const path = below === "" ? entry.name : `${below}/${entry.name}`;
      if (entry.name.startsWith(".") || /\.new-\d+$/.test(entry.name)) continue;
      if (!isServable(path) || !(entry.isFile() || entry.isDirectory()))
        throw new Fault(
          "release.store-failed",
          `publish "${join(directory, path)}": expected plain files, at most ${DEPTH_MAX} folders deep, with names of letters, digits, '.', '_' and '-'`,
        );
      if (entry.isDirectory()) await walk(path);
      else found.push(path);
    }
  };
  await inStore(`read "${directory}"`, () => walk(""));
  return found;
}

/**
 * Whether two files are the same. A chunk is named by its content, so one of the same name and size
 * is the same; everything else is compared by hash.
 * @throws Fault `release.store-failed`.
 */
export async function isSame(source: string, path: string): Promise<boolean> {
  const [here, there] = [await sizeOf(source), await sizeOf(path)];
  if (here !== there) return false;
  return path.endsWith(".cacnk") || (await digestOf(source))?.sha256 === (await digestOf(path))?.sha256;
}

async function sizeOf(path: string): Promise<number | undefined> {
  return inStore(`read "${path}"`, async () => {
    try {
      return (await stat(path)).size;
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      throw error;
    }
  });
}

/**
 * The whole file.
 * @returns undefined when there is no such file.
 * @throws Fault `release.store-failed`, also above `bytesMax`.
 */
export async function getFile(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
  return inStore(`read "${path}"`, () => readContent(path, bytesMax));
}

/** @returns undefined when there is no such file. @throws Fault `release.store-failed`. */
export async function digestOf(path: string): Promise<FileDigest | undefined> {
  return inStore(`read "${path}"`, () => digestFile(path));
}

async function inStore<T>(action: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { message } = asFault(error, "release.store-failed", action);
    throw new Fault("release.store-failed", message, { cause: error });
  }
}
