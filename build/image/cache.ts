// The build cache: directories that take long to make and are the same for the same sources.
import { mkdir, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { hasCode } from "../errno.ts";
import { isThere } from "./files.ts";
import { CACHE } from "./paths.ts";
import { makeWorkDirectory } from "./workdir.ts";

/**
 * Entries of the same name that were not used for this time are removed when a new one is made. A
 * run that still uses one has started later than that.
 */
const UNUSED_MS_MAX = 2 * 3_600_000;

/**
 * Returns a cache entry, and makes it where it is missing.
 * @param name the kind of entry: lower-case letters.
 * @param key a hash of everything that goes into the entry, in hex.
 * @param make fills the directory that it is given. Two runs may make the same entry at once: the
 *   first one stays.
 * @returns the directory. An entry of a failed or killed run is never used.
 * @throws what `make` throws.
 */
export async function cacheDirectory(
  name: string,
  key: string,
  make: (directory: string) => Promise<void>,
  cache: string = CACHE,
): Promise<string> {
  const directory = join(cache, `${name}-${key}`);
  if (await isThere(directory)) {
    const now = new Date();
    await utimes(directory, now, now);
    return directory;
  }
  await mkdir(cache, { recursive: true });
  await removeUnused(cache, name);
  await using made = await makeWorkDirectory(cache, `new-${name}-`);
  await make(made.path);
  await rename(made.path, directory).catch((error: unknown) => {
    // Another run has made the same entry first.
    if (!hasCode(error, "ENOTEMPTY", "EEXIST")) throw error;
  });
  return directory;
}

async function removeUnused(cache: string, name: string): Promise<void> {
  const pattern = new RegExp(`^${name}-[0-9a-f]+$`, "u");
  for (const other of (await readdir(cache)).filter((found) => pattern.test(found))) {
    const path = join(cache, other);
    if (Date.now() - (await stat(path)).mtimeMs > UNUSED_MS_MAX) await rm(path, { recursive: true, force: true });
  }
}
