// Files of the form `[Section]`, `Key=value`: systemd's (systemd.syntax(7)), GLib's key files, and
// the state files of both network managers.
import { join } from "node:path";
import { Fault } from "../../../fault.ts";
import { readKernelFile } from "../../files/index.ts";
import { endOf, namesIn } from "../files.ts";
import { SETTINGS_BYTES_MAX, SETTINGS_FILES_MAX } from "./limits.ts";

/**
 * What cannot be read proves nothing, as if it were not there: nobody's lease is a reason to know
 * nothing of the network.
 */
async function orNothing<T>(reading: Promise<T>, nothing: T): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof Fault) return nothing;
    throw error;
  }
}

/** @returns "" for a file that does not exist, cannot be read, or is too large to tell. */
export async function textOf(root: string, path: string): Promise<string> {
  const read = async (): Promise<string> => {
    const end = await endOf(join(root, path)); // settings are often links
    const text = end === undefined ? undefined : await readKernelFile(end, SETTINGS_BYTES_MAX + 1);
    return text === undefined || Buffer.byteLength(text) > SETTINGS_BYTES_MAX ? "" : text;
  };
  return await orNothing(read(), "");
}

/** The names in a folder, sorted; none when it does not exist or cannot be read. */
export async function listOf(root: string, folder: string): Promise<readonly string[]> {
  return await orNothing(namesIn(join(root, folder)), []);
}

/** @returns the paths, below the root, of the first files in a folder that end in `suffix`. */
export async function filesIn(root: string, folder: string, suffix = ""): Promise<readonly string[]> {
  const names = (await listOf(root, folder)).filter((name) => name.endsWith(suffix) && !name.startsWith("."));
  return names.slice(0, SETTINGS_FILES_MAX).map((name) => `${folder}/${name}`);
}

const LINE = /^[ \t]*(?:\[([^\]\n]{1,64})\][ \t]*$|([A-Za-z0-9_.-]{1,64})[ \t]*=(.*)$)/gmu;

/**
 * Every value of each key, by `Section.Key`; before the first section the key is `.Key`. Later
 * values come later.
 */
export function settingsIn(text: string): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  let section = "";
  for (const [, opened, key, value] of text.matchAll(LINE)) {
    section = opened ?? section;
    if (key === undefined || value === undefined) continue;
    const values = found.get(`${section}.${key}`);
    if (values === undefined) found.set(`${section}.${key}`, [value.trim()]);
    else values.push(value.trim());
  }
  return found;
}

/** @returns the last value, or "". */
export function last(settings: ReadonlyMap<string, readonly string[]>, key: string): string {
  return settings.get(key)?.at(-1) ?? "";
}
