// What takes long to make and is the same for the same sources: made once, kept for whoever needs it next.
import { mkdir, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { hasCode } from "../errno.ts";
import { isThere } from "./files.ts";
import { CACHE } from "./paths.ts";
import { makeWorkDirectory } from "./workdir.ts";

/** Others of its name that nobody has asked for in this time go when a new one is made: whoever uses one began less than that ago. */
const UNUSED_MS_MAX = 2 * 3_600_000;

/**
 * @param name of what it is: lower-case letters.
 * @param key of everything that goes into it, in hex.
 * @param make fills the folder it is given. Two that make the same at once do no harm: one's is kept.
 * @returns the folder. @throws what `make` throws; nothing of a failed or killed run is taken for the whole.
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
    if (!hasCode(error, "ENOTEMPTY", "EEXIST")) throw error; // another run was first: what it made is as good
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
