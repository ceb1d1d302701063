// A wrong thing in the place of a directory of state. It is set aside: renamed, never followed and
// never removed, because no program of ours has made it. [STA-13]
import { constants } from "node:fs";
import { basename, dirname, join } from "node:path";
import { absentFiles, damagedFiles, isUnreadable } from "../../damaged-files.ts";
import { Fault } from "../../fault.ts";
import type { AppendFiles, DurableFiles } from "../../ports.ts";
import { linuxAppendFiles } from "./append.ts";
import { makeDirectory, openDirectory, syncDirectory } from "./directory.ts";
import { linuxFiles } from "./durable.ts";
import { errnoOf, readFault, writeFault } from "./faults.ts";
import { pathOf } from "./names.ts";
import { type FileOps, linuxOps, SAFE } from "./ops.ts";
import { writeDurably } from "./write.ts";

/** Starts with a dot, so that it is no name of a state file. */
const ASIDE_PREFIX = ".aside-";
/** Things set aside under one name. Beyond it somebody plants them, and the disk must not fill. */
const ASIDE_MAX = 16;
/** Where the directory that takes the place grows. It does not look like a temporary file. */
const FRESH_PREFIX = ".fresh-";
const MODE_PRIVATE = 0o700;
const MODE_RECORD = 0o600;
/** Without them its owner, unless that is root, could not use the directory. */
const OWNER_MAY_ALL = 0o700;

export interface OwnDirectoryOptions {
  /** Gets the fault of a wrong thing that was found, and says what became of it. */
  readonly report: (fault: Fault) => void;
  /**
   * Records that must not count as missing where one was set aside: each is made without bytes, and
   * so is damaged until it is written again. [STA-4]
   */
  readonly damaged?: readonly string[];
  readonly ops?: FileOps;
}

/**
 * [STA-13] As {@link linuxFiles}, for a directory below one of ours. Whatever else lies in its
 * place is set aside. Where that is not possible (a read-only disk, a mount), every file counts as
 * damaged, and cannot be written. Never fails for what lies there.
 * @throws as {@link linuxFiles} for a disk that fails.
 */
export async function ownFiles(directory: string, options: OwnDirectoryOptions): Promise<DurableFiles> {
  const fault = await settleOwnDirectory(directory, options);
  if (fault === undefined) return linuxFiles(directory, options.ops);
  return fault.code === "file.read-only" ? absentFiles(fault) : damagedFiles(fault);
}

/** [STA-13] As {@link ownFiles}, for append files. Where nothing is possible, there are none. */
export async function ownAppendFiles(directory: string, options: OwnDirectoryOptions): Promise<AppendFiles & AsyncDisposable> {
  const fault = await settleOwnDirectory(directory, options);
  return fault === undefined ? linuxAppendFiles(directory, options.ops) : noAppendFiles(fault);
}

/**
 * [STA-13] As {@link linuxFiles} for a directory that others provide, which is never set aside:
 * where a wrong thing lies there, every file counts as damaged.
 */
export async function foreignFiles(
  open: () => Promise<DurableFiles>,
  report: OwnDirectoryOptions["report"],
): Promise<DurableFiles> {
  try {
    return await open();
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    report(error);
    return damagedFiles(error);
  }
}

/**
 * [STA-13] Sets aside what is no directory, for a place whose owner and mode the caller settles.
 * Does nothing where there is a directory, or nothing.
 * @throws Fault `file.not-regular` where it cannot be set aside.
 */
export async function setAsideUnlessDirectory(
  path: string,
  report: OwnDirectoryOptions["report"],
  ops: FileOps = linuxOps,
): Promise<void> {
  const wrong = await wrongTypeOf(ops, path);
  if (wrong === undefined) return;
  try {
    const aside = await setAsideNumbered(ops, path);
    report(new Fault(wrong.code, `${wrong.message}; it was renamed to "${aside}"`));
  } catch (error) {
    throw new Fault(wrong.code, `${wrong.message}; move it away`, { cause: error });
  }
}

/** @returns why the directory cannot be used; it was reported. */
async function settleOwnDirectory(directory: string, options: OwnDirectoryOptions): Promise<Fault | undefined> {
  const { report, damaged = [], ops = linuxOps } = options;
  await finishReplacement(ops, directory, damaged);
  const wrong = await wrongnessOf(ops, directory);
  if (wrong === undefined || wrong.code === "file.read-only") return wrong;
  try {
    await makeFresh(ops, directory, damaged);
    const aside = await setAsideNumbered(ops, directory);
    await ops.rename(freshPathOf(directory), directory);
    await syncDirectory(ops, dirname(directory));
    report(new Fault(wrong.code, `${wrong.message}; it was renamed to "${aside}", and an empty directory took its place`));
    return undefined;
  } catch (error) {
    const { message } = writeFault(error, `set "${directory}" aside`);
    const fault = new Fault(wrong.code, `${wrong.message}; it could not be set aside (${message}); move it away`, {
      cause: error,
    });
    report(fault);
    return fault;
  }
}

/** @returns what is wrong with what lies there; undefined for a directory of ours, or none. */
async function wrongnessOf(ops: FileOps, directory: string): Promise<Fault | undefined> {
  try {
    const wrongType = await wrongTypeOf(ops, directory);
    if (wrongType === undefined) await openDirectory(ops, directory);
    return wrongType;
  } catch (error) {
    // [STA-50] it is not there, and cannot be made
    if (error instanceof Fault && error.code === "file.read-only") return error;
    if (!isUnreadable(error)) throw error;
    return error;
  }
}

/** @throws Fault `file.read-failed`, `file.untrusted-owner`. */
async function wrongTypeOf(ops: FileOps, directory: string): Promise<Fault | undefined> {
  try {
    const opened = await ops.open(directory, constants.O_RDONLY | constants.O_DIRECTORY | SAFE);
    try {
      const { mode } = await opened.stat();
      if ((mode & OWNER_MAY_ALL) === OWNER_MAY_ALL) return undefined;
      throw new Fault("file.untrusted-owner", `use "${directory}": its owner may not use it (mode ${octal(mode)})`);
    } finally {
      await opened.close();
    }
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT") return undefined;
    if (errno === "ENOTDIR" || errno === "ELOOP")
      return new Fault("file.not-regular", `use "${directory}": it is a link or not a directory`, { cause: error });
    throw readFault(error, `open the directory "${directory}"`);
  }
}

/**
 * The power may have failed between the two renames, or somebody has moved the wrong thing away by
 * hand: then the place is empty.
 */
async function finishReplacement(ops: FileOps, directory: string, damaged: readonly string[]): Promise<void> {
  if (!(await isFree(ops, directory)) || (await isFree(ops, freshPathOf(directory)))) return;
  try {
    await makeFresh(ops, directory, damaged);
    await ops.rename(freshPathOf(directory), directory);
    await syncDirectory(ops, dirname(directory));
  } catch (error) {
    throw writeFault(error, `put "${directory}" in its place`);
  }
}

/** Complete before it takes the place: a power cut never leaves it without its damaged records. */
async function makeFresh(ops: FileOps, directory: string, damaged: readonly string[]): Promise<void> {
  const fresh = freshPathOf(directory);
  await makeDirectory(fresh, { mode: MODE_PRIVATE, ops });
  for (const name of damaged) await writeDurably(pathOf(fresh, name), new Uint8Array(), { mode: MODE_RECORD, ops });
}

/** @returns the path that the thing has then. @throws Node's errors; Fault `file.write-failed`. */
async function setAsideNumbered(ops: FileOps, path: string): Promise<string> {
  for (let n = 0; n < ASIDE_MAX; n++) {
    const aside = join(dirname(path), `${ASIDE_PREFIX}${basename(path)}${n === 0 ? "" : `.${n}`}`);
    if (!(await isFree(ops, aside))) continue;
    await ops.rename(path, aside);
    return aside;
  }
  throw new Fault("file.write-failed", `${ASIDE_MAX} things of this name were set aside before`);
}

/** Nothing has this name: opening it fails for that reason, whatever else could be there. */
async function isFree(ops: FileOps, path: string): Promise<boolean> {
  try {
    await (await ops.open(path, constants.O_RDONLY | SAFE)).close();
    return false;
  } catch (error) {
    return errnoOf(error) === "ENOENT";
  }
}

function freshPathOf(directory: string): string {
  return join(dirname(directory), FRESH_PREFIX + basename(directory));
}

function noAppendFiles(fault: Fault): AppendFiles & AsyncDisposable {
  const refuse = async (): Promise<never> => Promise.reject(fault);
  return {
    list: async () => [],
    read: async () => undefined,
    append: refuse,
    write: refuse,
    truncate: refuse,
    remove: refuse,
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}
