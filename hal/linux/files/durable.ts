// A directory of the device's state files, each written by the helper of write.ts. [STA-1]
import { join } from "node:path";
import { Fault } from "../../fault.ts";
import type { DurableFiles } from "../../ports.ts";
import { createMutex } from "../../mutex.ts";
import { openDirectory, syncDirectory } from "./directory.ts";
import { writeFault } from "./faults.ts";
import { LISTED_NAMES_MAX } from "./limits.ts";
import { isTemporary, pathOf, temporaryPathOf } from "./names.ts";
import { type FileOps, linuxOps } from "./ops.ts";
import { readTrusted } from "./read.ts";
import { replaceFile, unlinkIfThere, writeAll } from "./write.ts";

const MODE_PRIVATE = 0o600;

/**
 * State files in `directory`, which is made (0700) when it is missing. The caller must hold the
 * state lock: half-written files that a crash left are removed here.
 * @throws Fault `file.untrusted-owner` when others may write the directory; `file.not-regular`,
 *   `file.read-failed`, `file.no-space`, `file.read-only`, `file.write-failed`. An existing
 *   directory on a read-only disk opens without a fault: it can still be read.
 */
export async function linuxFiles(directory: string, ops: FileOps = linuxOps): Promise<DurableFiles> {
  await openDirectory(ops, directory);
  await settleDirectory(directory, ops);
  const exclusively = createMutex();
  return {
    get: async (name, bytesMax, access) => readTrusted(ops, pathOf(directory, name), bytesMax, access),
    put: (name, bytes) => exclusively(() => putFile(ops, directory, name, bytes)),
    remove: (name) => exclusively(() => removeFile(ops, directory, name)),
  };
}

async function putFile(ops: FileOps, directory: string, name: string, bytes: Uint8Array): Promise<void> {
  const [path, temporary] = [pathOf(directory, name), temporaryPathOf(directory, name)];
  try {
    await unlinkIfThere(ops, temporary); // an earlier put may have failed before it could clean up
  } catch (error) {
    throw writeFault(error, `write "${path}"`);
  }
  await replaceFile(ops, { temporary, path, mode: MODE_PRIVATE }, (file) => writeAll(file, bytes));
}

/** Syncs even when there is nothing to remove: an earlier removal may have ended after unlink. */
export async function removeFile(ops: FileOps, directory: string, name: string): Promise<void> {
  const path = pathOf(directory, name);
  try {
    await unlinkIfThere(ops, path);
    await syncDirectory(ops, directory);
  } catch (error) {
    throw writeFault(error, `remove "${path}"`);
  }
}

/**
 * Removes the half-written files that a crash left, and makes durable what a killed process had
 * renamed but not synced: what is read from here on must survive the next power cut. The caller
 * must be the only writer of the directory.
 * @throws Fault `file.no-space`, `file.write-failed`, but none on a read-only disk: that can still
 *   be read.
 */
export async function settleDirectory(directory: string, ops: FileOps = linuxOps): Promise<void> {
  try {
    const names = await ops.names(directory, LISTED_NAMES_MAX);
    for (const name of names) if (isTemporary(name)) await unlinkIfThere(ops, join(directory, name));
    await syncDirectory(ops, directory);
  } catch (error) {
    const fault = writeFault(error, `clean up "${directory}"`);
    if (!(fault instanceof Fault && fault.code === "file.read-only")) throw fault;
  }
}
