// The directory that holds state: made private, judged, and its entries on the disk before anything in it is believed.
import { constants } from "node:fs";
import { dirname } from "node:path";
import { Fault } from "../../fault.ts";
import { errnoOf, readFault, writeFault } from "./faults.ts";
import type { FileOps } from "./ops.ts";
import { checkTrusted } from "./trust.ts";

const MODE_PRIVATE = 0o700;

/**
 * Makes `directory` (0700, parents too) where it is missing and refuses one that others may write.
 * @throws Fault `file.untrusted-owner`, `file.not-regular` when it is no directory, `file.read-failed`, `file.no-space`, `file.read-only`, `file.write-failed`.
 */
export async function openDirectory(ops: FileOps, directory: string): Promise<void> {
  await makeDirectory(ops, directory);
  try {
    const opened = await ops.open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      checkTrusted(await opened.stat(), directory);
    } finally {
      await opened.close();
    }
  } catch (error) {
    if (errnoOf(error) === "ENOTDIR")
      throw new Fault("file.not-regular", `use "${directory}": it is no directory`, { cause: error });
    throw readFault(error, `open the directory "${directory}"`);
  }
}

/** fsync(2): "calling fsync() does not necessarily ensure that the entry in the directory containing the file has also reached disk"; this does. */
export async function syncDirectory(ops: FileOps, directory: string): Promise<void> {
  const opened = await ops.open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await opened.sync();
  } finally {
    await opened.close();
  }
}

async function makeDirectory(ops: FileOps, directory: string): Promise<void> {
  try {
    await ops.mkdir(directory, MODE_PRIVATE);
    await syncDirectory(ops, dirname(directory));
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "EEXIST") return;
    if (errno !== "ENOENT" || dirname(directory) === directory) {
      // On a read-only disk mkdir may say so before it says that the directory is there.
      if (errno === "EROFS" && (await exists(ops, directory))) return;
      throw writeFault(error, `make the directory "${directory}"`);
    }
    await makeDirectory(ops, dirname(directory));
    await makeDirectory(ops, directory);
  }
}

async function exists(ops: FileOps, directory: string): Promise<boolean> {
  try {
    await (await ops.open(directory, constants.O_RDONLY | constants.O_DIRECTORY)).close();
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}
