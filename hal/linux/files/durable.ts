// The one helper that writes state files. [STA-1]
import { constants } from "node:fs";
import { join } from "node:path";
import { Fault } from "../../fault.ts";
import type { DurableFiles } from "../../ports.ts";
import { createMutex } from "../../mutex.ts";
import { openDirectory, syncDirectory } from "./directory.ts";
import { errnoOf, writeFault } from "./faults.ts";
import { LISTED_NAMES_MAX } from "./limits.ts";
import { isTemporary, pathOf, temporaryPathOf } from "./names.ts";
import { type FileOps, linuxOps, type OpenFile, SAFE } from "./ops.ts";
import { readTrusted } from "./read.ts";

const MODE_PRIVATE = 0o600;

/**
 * State files in `directory`, which is made (0700) when it is missing. To be called under the state lock: what a crash left half-written is removed here.
 *
 * What the kernel guarantees: after fsync(2) of a file its bytes are on the device; rename(2) shows others the old file or the new; after fsync(2) of the
 * directory its entries are on the device. Nothing is guaranteed in between, hence the order of [STA-1]. The device itself must honour cache flushes.
 * @throws Fault `file.untrusted-owner` when others may write the directory; `file.not-regular`, `file.read-failed`, `file.no-space`, `file.read-only`,
 *   `file.write-failed`. A directory on a read-only disk that exists opens without fault: it can be read.
 */
export async function linuxFiles(directory: string, ops: FileOps = linuxOps): Promise<DurableFiles> {
  await openDirectory(ops, directory);
  await settle(ops, directory);
  const inTurn = createMutex();
  return {
    get: async (name, bytesMax, access) => readTrusted(ops, pathOf(directory, name), bytesMax, access),
    put: (name, bytes) => inTurn(() => putFile(ops, directory, name, bytes)),
    remove: (name) => inTurn(() => removeFile(ops, directory, name)),
  };
}

/** [STA-1] On a fault the old bytes stay, or, when only the last fsync failed, the new ones are there but may not survive a power cut. */
async function putFile(ops: FileOps, directory: string, name: string, bytes: Uint8Array): Promise<void> {
  const path = pathOf(directory, name);
  const temporary = temporaryPathOf(directory, name);
  try {
    await unlinkIfThere(ops, temporary); // of a put that failed and could not clean up either
    const file = await ops.open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | SAFE, MODE_PRIVATE);
    try {
      await writeAll(file, bytes);
      await file.sync(); // before the rename, or a crash can leave the new name on an empty file
    } finally {
      await file.close();
    }
    await ops.rename(temporary, path);
    await syncDirectory(ops, directory);
  } catch (error) {
    // A failed fsync is never repeated: the kernel may have dropped the pages and would report success (fsync(2), EIO). The file is thrown away instead.
    await ops.unlink(temporary).catch(() => undefined); // gone already, or left for the next put; the first fault is the one to report
    throw writeFault(error, `write "${path}"`);
  }
}

/** Syncs even when there is nothing to remove: an earlier removal may have got as far as unlink only. */
export async function removeFile(ops: FileOps, directory: string, name: string): Promise<void> {
  const path = pathOf(directory, name);
  try {
    await unlinkIfThere(ops, path);
    await syncDirectory(ops, directory);
  } catch (error) {
    throw writeFault(error, `remove "${path}"`);
  }
}

/** @throws Node's errors. Loops because write(2) may write less than it was given. */
export async function writeAll(file: OpenFile, bytes: Uint8Array): Promise<void> {
  let written = 0;
  while (written < bytes.byteLength) written += (await file.write(bytes, written, bytes.byteLength - written)).bytesWritten;
}

/**
 * Removes what a crash left half-written, and makes durable what a process that was killed had renamed but not synced: what {@link DurableFiles.get} returns
 * from here on must not be gone after the next power cut.
 */
async function settle(ops: FileOps, directory: string): Promise<void> {
  try {
    const names = await ops.names(directory, LISTED_NAMES_MAX);
    for (const name of names) if (isTemporary(name)) await unlinkIfThere(ops, join(directory, name));
    await syncDirectory(ops, directory);
  } catch (error) {
    const fault = writeFault(error, `tidy "${directory}"`);
    if (!(fault instanceof Fault && fault.code === "file.read-only")) throw fault; // what cannot be written can still be read
  }
}

async function unlinkIfThere(ops: FileOps, path: string): Promise<void> {
  try {
    await ops.unlink(path);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}
