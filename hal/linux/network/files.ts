// Folders and files of /sys, /proc and /run that may not exist.
import { access, realpath } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, linuxOps, readFault, readKernelFile } from "../files/index.ts";
import { ATTRIBUTE_BYTES_MAX, ENTRIES_MAX } from "./limits.ts";

const NOT_THERE = ["ENOENT", "ENOTDIR", "ENODEV", "EINVAL", "ELOOP"];

/**
 * @returns the first entries of a folder, sorted; an empty list when it does not exist.
 * @throws Fault `file.read-failed`.
 */
export async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return [...(await linuxOps.names(folder, ENTRIES_MAX))].sort();
  } catch (error) {
    if (NOT_THERE.includes(errnoOf(error) ?? "")) return [];
    throw readFault(error, `list "${folder}"`);
  }
}

/** @returns "" when it does not exist. @throws Fault `file.read-failed`. */
export async function attribute(folder: string, name: string): Promise<string> {
  return ((await readKernelFile(join(folder, name), ATTRIBUTE_BYTES_MAX)) ?? "").trim();
}

export async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/**
 * @returns the target of a link; undefined when it does not exist or leads nowhere.
 * @throws Fault `file.read-failed`.
 */
export async function endOf(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (error) {
    if (NOT_THERE.includes(errnoOf(error) ?? "")) return undefined;
    throw readFault(error, `follow "${path}"`);
  }
}
