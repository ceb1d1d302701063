// Append-only files: the base of the audit log and of the message spool.
import { constants } from "node:fs";
import { assert, Fault } from "../../fault.ts";
import type { AppendFiles } from "../../ports.ts";
import { createMutex } from "../../mutex.ts";
import { openDirectory, syncDirectory } from "./directory.ts";
import { removeFile } from "./durable.ts";
import { errnoOf, readFault, writeFault } from "./faults.ts";
import { LISTED_NAMES_MAX, RESERVE_FREE_BYTES_MIN } from "./limits.ts";
import { isName, pathOf } from "./names.ts";
import { type FileOps, linuxOps, type OpenFile, SAFE } from "./ops.ts";
import { readTrusted } from "./read.ts";
import { checkTrustedFile } from "./trust.ts";
import { writeAll } from "./write.ts";

/**
 * O_DSYNC, open(2): "by the time write(2) returns, the output data and associated file metadata
 * have been transferred to the underlying hardware (i.e., as though each write(2) was followed by a
 * call to fdatasync(2))". An append takes one system call instead of two.
 */
const WRITING = constants.O_WRONLY | constants.O_DSYNC | SAFE;
const APPENDING = WRITING | constants.O_APPEND;

const MODE_PRIVATE = 0o600;

/** Files kept open: the segment being written, and one being closed or read beside it. */
const OPEN_FILES_MAX = 4;

/**
 * Append files in `directory`, which is made (0700) when it is missing. At most
 * {@link OPEN_FILES_MAX} of them stay open; dispose to close them. The caller must hold the state
 * lock. Changes run one at a time over the whole directory.
 *
 * What the kernel guarantees: O_APPEND puts each write(2) at the end; with O_DSYNC the bytes are on
 * the disk when it returns; a new name is durable after fsync(2) of the directory. After a power
 * cut during a write the tail may hold any part of it, zeros included.
 *
 * A write over bytes that are on the disk already changes neither the length of the file nor its
 * blocks, so the file system commits nothing to its journal for it, and O_DSYNC costs one flush.
 * That is what reserved zeros are for.
 * @throws Fault `file.untrusted-owner`, `file.not-regular`, `file.read-failed`, `file.no-space`,
 *   `file.read-only`, `file.write-failed`.
 */
export async function linuxAppendFiles(directory: string, ops: FileOps = linuxOps): Promise<AppendFiles & AsyncDisposable> {
  await openDirectory(ops, directory);
  await settle(ops, directory);
  const exclusively = createMutex();
  const files = openFiles(ops, directory);
  return {
    list: () => listNames(ops, directory),
    read: async (name, bytesMax) => readTrusted(ops, pathOf(directory, name), bytesMax),
    append: (name, bytes) => exclusively(() => files.use(name, "append to", true, ({ file }) => writeAll(file, bytes))),
    write: (name, at, bytes, reserveBytes = 0) =>
      exclusively(async () => {
        const reserve = reserveBytes > 0 && (await hasRoomFor(ops, directory, reserveBytes)) ? reserveBytes : 0;
        return await files.use(name, "write to", at === 0, (open) => overwrite(open, at, bytes, reserve));
      }),
    truncate: (name, length) => exclusively(() => files.use(name, "cut", false, (open) => cut(open, length))),
    remove: (name) =>
      exclusively(async () => {
        await files.close(name);
        await removeFile(ops, directory, name);
      }),
    [Symbol.asyncDispose]: () => exclusively(() => files.closeAll()),
  };
}

/**
 * Bytes that a killed process wrote may be readable without being on the disk yet. They are synced
 * before anything reads them: a record that was read, and perhaps signed, must survive the next
 * power cut.
 */
async function settle(ops: FileOps, directory: string): Promise<void> {
  try {
    for (const name of await listNames(ops, directory)) await syncIfFile(ops, pathOf(directory, name));
    await syncDirectory(ops, directory);
  } catch (error) {
    // [STA-50] ext4 refuses fsync(2) too once it has mounted itself read-only after an error
    const fault = writeFault(error, `sync "${directory}"`);
    if (!(fault instanceof Fault && fault.code === "file.read-only")) throw fault;
  }
}

/** Leaves a link, a socket and an unreadable file alone: {@link AppendFiles.read} refuses them. */
async function syncIfFile(ops: FileOps, path: string): Promise<void> {
  try {
    const file = await ops.open(path, constants.O_RDONLY | SAFE);
    try {
      if ((await file.stat()).isFile()) await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!["ELOOP", "ENXIO", "EACCES"].includes(errnoOf(error) ?? "")) throw writeFault(error, `sync "${path}"`);
  }
}

async function listNames(ops: FileOps, directory: string): Promise<readonly string[]> {
  try {
    const names = await ops.names(directory, LISTED_NAMES_MAX);
    if (names.length > LISTED_NAMES_MAX)
      throw new Fault("file.too-large", `list "${directory}": it has more than ${LISTED_NAMES_MAX} entries`);
    return names.filter((name) => isName(name)).sort((a, b) => (a < b ? -1 : 1));
  } catch (error) {
    throw readFault(error, `list "${directory}"`);
  }
}

/** Zeros take no space that somebody may need for something that is not a convenience. */
async function hasRoomFor(ops: FileOps, directory: string, reserveBytes: number): Promise<boolean> {
  try {
    return (await ops.freeBytes(directory)) >= reserveBytes + RESERVE_FREE_BYTES_MIN;
  } catch {
    return false; // the write itself will say what is wrong with the disk
  }
}

/**
 * Where the disk, or a quota, turns out to have no space for the zeros, what they took is given
 * back and `bytes` are written alone.
 * @returns the length of the file.
 */
async function overwrite(open: WrittenFile, at: number, bytes: Uint8Array, reserve: number): Promise<number> {
  if (at > open.length) throw new Fault("file.write-failed", `write at ${at}: the file has ${open.length} bytes`);
  let whole = bytes;
  if (reserve > 0) {
    whole = new Uint8Array(bytes.byteLength + reserve);
    whole.set(bytes);
  }
  try {
    await writeAll(open.file, whole, at);
    open.length = Math.max(open.length, at + whole.byteLength);
  } catch (error) {
    const { code } = writeFault(error, "reserve");
    if (reserve === 0 || code !== "file.no-space") throw error;
    await cut(open, at);
    await writeAll(open.file, bytes, at);
    open.length = at + bytes.byteLength;
  }
  return open.length;
}

/** fdatasync(2) must write a changed size too, but fsync(2) promises it without a footnote. */
async function cut(open: WrittenFile, length: number): Promise<void> {
  const { size } = await open.file.stat();
  if (length > size) throw new Fault("file.write-failed", `cut a file to ${length} bytes: it has ${size}`);
  await open.file.truncate(length);
  await open.file.sync();
  open.length = length;
}

type Action = "append to" | "write to" | "cut";

interface WrittenFile {
  readonly file: OpenFile;
  /** Whether it was opened with O_APPEND, which makes pwrite(2) ignore its offset. */
  readonly appends: boolean;
  /** Not kept up by appends: a file that is appended to is opened again to be written to. */
  length: number;
}

interface OpenFiles {
  /**
   * Runs `work` on the open file of `name`, which is made where it is missing and `mayCreate`.
   * After a fault the file is closed, and the next use opens it again.
   */
  use<T>(name: string, action: Action, mayCreate: boolean, work: (open: WrittenFile) => Promise<T>): Promise<T>;
  close(name: string): Promise<void>;
  closeAll(): Promise<void>;
}

function openFiles(ops: FileOps, directory: string): OpenFiles {
  const open = new Map<string, WrittenFile>(); // least recently used first
  let closed = false;
  const close = async (name: string): Promise<void> => {
    const kept = open.get(name);
    open.delete(name);
    await kept?.file.close();
  };
  return {
    use: async (name, action, mayCreate, work) => {
      assert(!closed, "append files are not used after their disposal");
      const path = pathOf(directory, name);
      try {
        if (!serves(open.get(name), action)) await close(name);
        const kept = open.get(name) ?? (await openWritten(ops, directory, path, action, mayCreate));
        open.delete(name);
        open.set(name, kept);
        const done = await work(kept);
        for (const oldest of open.keys()) if (open.size > OPEN_FILES_MAX) await close(oldest);
        return done;
      } catch (error) {
        await close(name).catch(() => undefined); // the first fault is the one to report
        throw writeFault(error, `${action} "${path}"`);
      }
    },
    close,
    closeAll: async () => {
      closed = true;
      for (const name of open.keys()) await close(name);
    },
  };
}

function serves(kept: WrittenFile | undefined, action: Action): boolean {
  return action === "cut" || kept?.appends === (action === "append to");
}

/**
 * Syncs file and directory once: only then is the name durable. An O_DSYNC write covers its own
 * bytes, not those of an append that failed before.
 */
async function openWritten(
  ops: FileOps,
  directory: string,
  path: string,
  action: Action,
  mayCreate: boolean,
): Promise<WrittenFile> {
  const appends = action === "append to";
  const file = await openOrCreate(ops, path, appends ? APPENDING : WRITING, mayCreate);
  try {
    const facts = await file.stat();
    checkTrustedFile(facts, path);
    await file.sync();
    await syncDirectory(ops, directory);
    return { file, appends, length: facts.size };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openOrCreate(ops: FileOps, path: string, flags: number, mayCreate: boolean): Promise<OpenFile> {
  try {
    return await ops.open(path, flags);
  } catch (error) {
    if (!mayCreate || errnoOf(error) !== "ENOENT") throw error;
    return await ops.open(path, flags | constants.O_CREAT | constants.O_EXCL, MODE_PRIVATE);
  }
}
