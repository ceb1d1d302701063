// Reading kernel attributes in /proc and /sys.
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { errnoOf, readFault } from "./faults.ts";
import { readUpTo } from "./read.ts";
import { SAFE } from "./ops.ts";

/**
 * The first `bytesMax` bytes of one attribute, as text. The size that stat(2) gives for these files
 * means nothing (0 in /proc, one page in /sys), so this reads up to the end or the limit. The owner
 * is not checked: sysfs belongs to root by its mount, and a simulated board to the user who runs
 * it. What is not UTF-8 is read as Latin-1, so that different bytes stay different text.
 * @returns undefined when there is no such attribute.
 * @throws Fault `file.read-failed`, also where permission is missing: taking that for "not there"
 *   would choose another identity than root sees.
 */
export async function readKernelFile(path: string, bytesMax: number): Promise<string | undefined> {
  try {
    const file = await open(path, constants.O_RDONLY | SAFE);
    try {
      return textOf(await readUpTo(file, bytesMax));
    } finally {
      await file.close();
    }
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) return undefined;
    throw readFault(error, `read "${path}"`);
  }
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return Buffer.from(bytes).toString("latin1");
  }
}
