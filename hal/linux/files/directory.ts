// Directories that hold state: made private, checked, and synced before their entries are believed.
import { constants } from "node:fs";
import { dirname } from "node:path";
import { Fault } from "../../fault.ts";
import { errnoOf, readFault, writeFault } from "./faults.ts";
import { type FileOps, linuxOps } from "./ops.ts";
import { checkTrusted } from "./trust.ts";

const MODE_PRIVATE = 0o700;
const MODE_PUBLIC = 0o755;

export interface DirectoryOptions {
  /** The mode of each directory that is made, within the umask. Default 0755. */
  readonly mode?: number;
  readonly ops?: FileOps;
}

/**
 * Makes `directory` (0700, parents too) where it is missing, and refuses one that others may write.
 * @throws Fault `file.untrusted-owner`, `file.not-regular` when it is not a directory,
 *   `file.read-failed`, `file.no-space`, `file.read-only`, `file.write-failed`.
 */
export async function openDirectory(ops: FileOps, directory: string): Promise<void> {
  await makeDirectory(directory, { mode: MODE_PRIVATE, ops });
  try {
    const opened = await ops.open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      checkTrusted(await opened.stat(), directory);
    } finally {
      await opened.close();
    }
  } catch (error) {
    if (errnoOf(error) === "ENOTDIR")
      throw new Fault("file.not-regular", `use "${directory}": it is not a directory`, { cause: error });
    throw readFault(error, `open the directory "${directory}"`);
  }
}

/**
 * fsync(2): "calling fsync() does not necessarily ensure that the entry in the directory containing
 * the file has also reached disk"; this does.
 */
export async function syncDirectory(ops: FileOps, directory: string): Promise<void> {
  const opened = await ops.open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await opened.sync();
  } finally {
    await opened.close();
  }
}

/**
 * Makes `directory` and its missing parents, each durable before the next. One that exists stays as
 * it is.
 * @throws Fault `file.no-space`, `file.read-only`, `file.write-failed`.
 */
export async function makeDirectory(directory: string, options: DirectoryOptions = {}): Promise<void> {
  const { mode = MODE_PUBLIC, ops = linuxOps } = options;
  if (await makeInParent(ops, directory, mode)) return;
  const parent = dirname(directory);
  if (parent !== directory) {
    await makeDirectory(parent, options);
    if (await makeInParent(ops, directory, mode)) return;
  }
  // A file system that takes no directories, such as /proc, says so even with the parent there.
  const why = "its file system takes no directories; choose another place";
  throw new Fault("file.write-failed", `make the directory "${directory}": ${why}`);
}

/** @returns false when its parent is missing. */
async function makeInParent(ops: FileOps, directory: string, mode: number): Promise<boolean> {
  try {
    await ops.mkdir(directory, mode);
    await syncDirectory(ops, dirname(directory));
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "EEXIST") return true;
    if (errno === "ENOENT") return false;
    // On a read-only disk mkdir can report that before it reports that the directory exists.
    if (errno === "EROFS" && (await exists(ops, directory))) return true;
    throw writeFault(error, `make the directory "${directory}"`);
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
