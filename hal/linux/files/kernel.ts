// Reading what the kernel says of itself in /proc and /sys.
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { errnoOf, readFault } from "./faults.ts";
import { readUpTo } from "./read.ts";
import { SAFE } from "./ops.ts";

/**
 * The first `bytesMax` bytes of one attribute, as text. Sizes that stat(2) gives for these files mean nothing (0 in /proc, a page in /sys), so it is read until
 * its end or the bound. Whose file it is is not asked: sysfs is root's by mount, and a simulated board is whoever's runs it.
 * @returns undefined when there is no such attribute.
 * @throws Fault `file.read-failed`, also where we may not read: to take that for "not there" would choose another identity than root sees.
 */
export async function readKernelFile(path: string, bytesMax: number): Promise<string | undefined> {
  try {
    const file = await open(path, constants.O_RDONLY | SAFE);
    try {
      return new TextDecoder().decode(await readUpTo(file, bytesMax));
    } finally {
      await file.close();
    }
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) return undefined;
    throw readFault(error, `read "${path}"`);
  }
}
