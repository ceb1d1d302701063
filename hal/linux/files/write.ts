// The one way in which a file is written durably: on the device, in the hub and by the release
// tool. [STA-1]
//
// What the kernel guarantees: after fsync(2) of a file its bytes are on the disk; rename(2) shows
// others the old file or the new one; after fsync(2) of the directory its entries are on the disk.
// It guarantees nothing in between, hence the order of [STA-1]. The disk itself must honour cache
// flushes.
import { constants } from "node:fs";
import { randomUUID } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { makeDirectory, syncDirectory } from "./directory.ts";
import { errnoOf, writeFault } from "./faults.ts";
import { temporaryPathOf } from "./names.ts";
import { type FileOps, linuxOps, type OpenFile, SAFE } from "./ops.ts";

const MODE_PUBLIC = 0o644;
/** Starts with a dot, so that it is no name of a state file. */
const ASIDE_PREFIX = ".aside-";
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | SAFE;
const COPY_BLOCK_BYTES = 1_048_576;

export interface WriteOptions {
  /** The exact mode of the file, independent of the umask. Default 0644. */
  readonly mode?: number;
  readonly ops?: FileOps;
}

/** Where the new bytes grow until they are complete, and the name that they get then. */
export interface Replacement {
  /** In the same directory as `path`. No other writer may use it. */
  readonly temporary: string;
  readonly path: string;
  /** The mode of the new file, within the umask. */
  readonly mode: number;
}

/**
 * [STA-1] Replaces one file of any name, and makes its directory (0755) where it is missing. Until
 * this resolves, a crash leaves the old file or the new one, complete; after that, the new one.
 * Several processes may write the same path: the last rename wins. A power cut can leave a file
 * beside it for which {@link isTemporary} holds.
 * @throws Fault `file.no-space`, `file.read-only`, `file.write-failed`.
 */
export async function writeDurably(path: string, bytes: Uint8Array, options: WriteOptions = {}): Promise<void> {
  await replaceAnywhere(path, options, (file) => writeAll(file, bytes));
}

/**
 * [STA-1] As {@link writeDurably}, with the bytes of the file `from`, which may be of any size.
 * @throws Fault `file.no-space`, `file.read-only`, `file.write-failed`, also where `from` cannot be
 *   read.
 */
export async function copyDurably(from: string, path: string, options: WriteOptions = {}): Promise<void> {
  const { ops = linuxOps } = options;
  await replaceAnywhere(path, options, async (file) => {
    const source = await ops.open(from, constants.O_RDONLY);
    try {
      await copyAll(source, file);
    } finally {
      await source.close();
    }
  });
}

/**
 * Writes a new file and never replaces one. A power cut before this resolves can leave a part of
 * the file.
 * @throws Fault `file.write-failed`, with Node's `EEXIST` as its cause where `path` exists already;
 *   `file.no-space`, `file.read-only`.
 */
export async function createDurably(path: string, bytes: Uint8Array, options: WriteOptions = {}): Promise<void> {
  const { mode = MODE_PUBLIC, ops = linuxOps } = options;
  try {
    const file = await ops.open(path, CREATE, mode);
    try {
      await file.chmod(mode);
      await fillAndClose(file, () => writeAll(file, bytes));
      await syncDirectory(ops, dirname(path));
    } catch (error) {
      await ops.unlink(path).catch(() => undefined); // the first fault is the one to report
      throw error;
    }
  } catch (error) {
    throw writeFault(error, `create "${path}"`);
  }
}

async function replaceAnywhere(
  path: string,
  { mode = MODE_PUBLIC, ops = linuxOps }: WriteOptions,
  fill: (file: OpenFile) => Promise<void>,
): Promise<void> {
  await makeDirectory(dirname(path), { ops });
  // Several processes may write this path at once, so each has a temporary file of its own.
  const temporary = temporaryPathOf(dirname(path), randomUUID());
  await replaceFile(ops, { temporary, path, mode }, async (file) => {
    await file.chmod(mode);
    await fill(file);
  });
}

/**
 * [STA-1] On a fault the old bytes stay. When only the last fsync failed, the new ones are in place
 * but may not survive a power cut.
 * @param fill writes the new bytes.
 * @throws Fault `file.no-space`, `file.read-only`, `file.write-failed`, and those of `fill`.
 */
export async function replaceFile(
  ops: FileOps,
  { temporary, path, mode }: Replacement,
  fill: (file: OpenFile) => Promise<void>,
): Promise<void> {
  try {
    const file = await ops.open(temporary, CREATE, mode);
    // The file is synced before the rename: otherwise a crash can leave the new name on an empty
    // file.
    await fillAndClose(file, () => fill(file));
    await renameOver(ops, temporary, path);
    await syncDirectory(ops, dirname(path));
  } catch (error) {
    // A failed fsync is never repeated: the kernel may have dropped the pages and would report
    // success (fsync(2), EIO). The file is thrown away instead.
    // Where that fails too, the first fault is the one to report.
    await ops.unlink(temporary).catch(() => undefined);
    throw writeFault(error, `write "${path}"`);
  }
}

async function fillAndClose(file: OpenFile, fill: () => Promise<void>): Promise<void> {
  try {
    await fill();
    await file.sync();
  } finally {
    await file.close();
  }
}

async function copyAll(source: OpenFile, target: OpenFile): Promise<void> {
  const block = new Uint8Array(COPY_BLOCK_BYTES);
  for (;;) {
    const { bytesRead } = await source.read(block, 0, block.byteLength, null);
    if (bytesRead === 0) return;
    await writeAll(target, block.subarray(0, bytesRead));
  }
}

/**
 * Loops because write(2) may write less than it was given.
 * @param at the offset in the file; where it is missing, the file's own position.
 * @throws Node's errors.
 */
export async function writeAll(file: OpenFile, bytes: Uint8Array, at?: number): Promise<void> {
  let written = 0;
  while (written < bytes.byteLength) {
    const position = at === undefined ? undefined : at + written;
    written += (await file.write(bytes, written, bytes.byteLength - written, position)).bytesWritten;
  }
}

/** Removes a name, and does nothing where there is none. @throws Node's errors. */
export async function unlinkIfThere(ops: FileOps, path: string): Promise<void> {
  try {
    await ops.unlink(path);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "EISDIR") await setAside(ops, path);
    else if (errno !== "ENOENT") throw error;
  }
}

async function renameOver(ops: FileOps, from: string, to: string): Promise<void> {
  try {
    await ops.rename(from, to);
  } catch (error) {
    if (errnoOf(error) !== "EISDIR") throw error;
    await setAside(ops, to);
    await ops.rename(from, to);
  }
}

/**
 * [STA-4] A directory in the place of a file, which neither rename(2) nor unlink(2) takes away, is
 * renamed and kept: no program of ours has made it.
 */
async function setAside(ops: FileOps, path: string): Promise<void> {
  await ops.rename(path, join(dirname(path), `${ASIDE_PREFIX}${basename(path)}`));
}
