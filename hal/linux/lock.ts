// The lock that gives a state directory one owner. [STA-3]
import { constants } from "node:fs";
import { access, type FileHandle, open, rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { Fault } from "../fault.ts";
import type { StateLock } from "../ports.ts";
import { checkTrustedFile, errnoOf, linuxOps, openDirectory, writeFault } from "./files/index.ts";
import { runToExit } from "./process/index.ts";

/**
 * Starts with a dot, so that no state file has this name. It is never removed: otherwise two
 * processes could hold locks on two files of the same name.
 */
const LOCK_FILE = ".lock";
/** A pid and a newline. */
const LOCK_FILE_BYTES_MAX = 32;

/** flock(1) answers in milliseconds: it does not wait (-n). */
const LOCK_MS_MAX = 10_000;

/**
 * The owner writes its pid right after it has the lock. Until then the file may be empty or may
 * name a previous owner.
 */
const OWNER_READS_MAX = 10;
const OWNER_READ_EVERY_MS = 20;

/**
 * The exit code of flock(1) for a held lock (-E), distinct from its own 1 for every other failure.
 */
const EXIT_HELD = 75;

/**
 * [STA-3] Takes the lock of `directory`, which is made (0700) when it is missing.
 *
 * The kernel guarantees (flock(2)) that the lock belongs to the open file description, which
 * flock(1) shares with us as its descriptor 3. It stays when that child ends, and goes when our
 * last descriptor is closed, which the kernel does however we end. Node opens with O_CLOEXEC, so no
 * other child keeps the lock.
 * @param flock the program; for tests.
 * @throws Fault `lock.held` with the owner's pid; `process.failed` when there is no flock(1);
 *   `file.*` as for state files.
 */
export async function lockState(directory: string, flock = "flock"): Promise<StateLock> {
  await openDirectory(linuxOps, directory);
  const path = join(directory, LOCK_FILE);
  try {
    return await lockFile(await openLockFile(path), directory, flock, true);
  } catch (error) {
    if (!(error instanceof Fault && errnoOf(error.cause) === "EROFS")) throw error;
    const why = "the disk is read-only, so nothing is stored until it is repaired and the program starts again";
    const readOnly = new Fault(error.code, `use "${directory}": ${why}`, { cause: error });
    return { ...(await lockFile(await openToRead(path, directory), directory, flock, false)), readOnly };
  }
}

/** [STA-50] flock(2) needs no right to write. Without the file the directory itself is locked. */
async function openToRead(path: string, directory: string): Promise<FileHandle> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_DIRECTORY } = constants;
  try {
    return await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch {
    return await open(directory, O_RDONLY | O_DIRECTORY);
  }
}

async function lockFile(file: FileHandle, directory: string, flock: string, mayWrite: boolean): Promise<StateLock> {
  try {
    if (!(await take(file, flock)))
      throw new Fault("lock.held", `take the state directory "${directory}": held by ${await owner(file)}`);
    if (mayWrite) await writeOwner(file, join(directory, LOCK_FILE));
  } catch (error) {
    await file.close();
    throw error;
  }
  return { release: () => file.close() };
}

/**
 * Something else in the lock's place is set aside: nobody holds a lock on it, for only a regular
 * file of ours is ever locked. [STA-4]
 */
async function openLockFile(path: string): Promise<FileHandle> {
  try {
    return await openRegular(path);
  } catch (error) {
    const isOther = error instanceof Fault && (error.code === "file.not-regular" || error.code === "file.untrusted-owner");
    if (!isOther) throw error;
    try {
      await rename(path, join(dirname(path), `.aside-${basename(path)}`));
    } catch (cause) {
      throw writeFault(cause, `set "${path}" aside`);
    }
    return await openRegular(path);
  }
}

async function openRegular(path: string): Promise<FileHandle> {
  const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
  try {
    const file = await open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
    try {
      checkTrustedFile(await file.stat(), path);
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  } catch (error) {
    if (["ELOOP", "EISDIR", "ENXIO"].includes(errnoOf(error) ?? ""))
      throw new Fault("file.not-regular", `open "${path}": it is no regular file`, { cause: error });
    throw writeFault(error, `open "${path}"`);
  }
}

async function take(file: FileHandle, flock: string): Promise<boolean> {
  const bounds = { timeoutMs: LOCK_MS_MAX, outputBytesMax: 1024, descriptor: file.fd };
  const { exitCode, stderr } = await runToExit(flock, ["-x", "-n", "-E", `${EXIT_HELD}`, "3"], bounds);
  if (exitCode === 0) return true;
  if (exitCode === EXIT_HELD) return false;
  throw new Fault("process.failed", `run "${flock}": it ended with code ${exitCode}: ${stderr.trim()}`);
}

/** Not synced: the pid is for people and means nothing after a power cut. */
async function writeOwner(file: FileHandle, path: string): Promise<void> {
  try {
    await file.truncate(0);
    await file.write(`${process.pid}\n`, 0);
  } catch (error) {
    throw writeFault(error, `write "${path}"`);
  }
}

async function owner(file: FileHandle): Promise<string> {
  for (let read = 0; read < OWNER_READS_MAX; read++) {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(LOCK_FILE_BYTES_MAX), 0, LOCK_FILE_BYTES_MAX, 0);
    const pid = /^([1-9][0-9]{0,9})\n$/.exec(buffer.toString("latin1", 0, bytesRead))?.[1];
    if (pid !== undefined && (await isAlive(pid))) return `pid ${pid}`;
    await setTimeout(OWNER_READ_EVERY_MS);
  }
  return "a process with an unknown pid";
}

async function isAlive(pid: string): Promise<boolean> {
  try {
    await access(`/proc/${pid}`);
    return true;
  } catch {
    return false; // gone, or hidden from us: then its pid would help nobody
  }
}
