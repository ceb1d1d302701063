// Taking files from a directory that another user owns. [OTA-32]
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { Fault } from "../../fault.ts";
import { quoted } from "../../format/text.ts";
import type { HandoverReader } from "../../ports.ts";
import { errnoOf, isName, readFault } from "../files/index.ts";

/**
 * O_NOFOLLOW refuses links, O_NONBLOCK does not wait for a pipe's writer, and O_NOCTTY keeps a
 * terminal from becoming ours.
 */
const UNTRUSTED = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

export interface HandoverReaderOptions {
  /**
   * Reads with synchronous calls, which block the thread. That costs a third of the processor time,
   * and suits a program that has nothing else to do. The calls wait for the disk only, never for
   * pipes and leases (O_NONBLOCK, fcntl(2)).
   */
  readonly blocking?: boolean;
}

/**
 * [OTA-32] Opens the directory once and keeps it open. Names are looked up in that directory only,
 * even when its path leads somewhere else later. Node has no openat(2); `/proc/self/fd/N/name`
 * takes the same walk, proc(5).
 * @throws Fault `file.not-regular` when `directory` is a link or not a directory;
 *   `file.read-failed`.
 */
export async function linuxHandoverReader(
  directory: string,
  { blocking = false }: HandoverReaderOptions = {},
): Promise<HandoverReader & AsyncDisposable> {
  const handle = await openDirectory(directory);
  return {
    take: (name, bytesMax) => readByName(name, () => (blocking ? readBlocking : read)(handle, name, bytesMax)),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

async function openDirectory(directory: string): Promise<FileHandle> {
  try {
    return await open(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) === "ENOTDIR")
      throw new Fault("file.not-regular", `use "${directory}" as a hand-over directory: it is a link or not a directory`, {
        cause: error,
      });
    throw readFault(error, `open the hand-over directory "${directory}"`);
  }
}

async function readByName(name: string, work: () => Promise<Uint8Array>): Promise<Uint8Array | undefined> {
  if (!isName(name))
    throw new Fault("file.read-failed", `take ${quoted(name)}: expected a file name of a-z, 0-9, ".", "_" and "-"`);
  try {
    return await work();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    const fault = readFault(error, `take "${name}"`);
    throw fault.code === "file.not-regular" && fault !== error ? notRegular(fault.message, error) : fault;
  }
}

async function read(directory: FileHandle, name: string, bytesMax: number): Promise<Uint8Array> {
  await using file = await open(pathIn(directory, name), UNTRUSTED);
  const buffer = bufferFor(await file.stat(), name, bytesMax);
  let length = 0;
  while (length < buffer.byteLength) {
    const { bytesRead } = await file.read(buffer, length, buffer.byteLength - length, length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return wholeFile(buffer, length, name, bytesMax);
}

async function readBlocking(directory: FileHandle, name: string, bytesMax: number): Promise<Uint8Array> {
  const file = openSync(pathIn(directory, name), UNTRUSTED);
  try {
    const buffer = bufferFor(fstatSync(file), name, bytesMax);
    let length = 0;
    while (length < buffer.byteLength) {
      const bytesRead = readSync(file, buffer, length, buffer.byteLength - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return wholeFile(buffer, length, name, bytesMax);
  } finally {
    closeSync(file);
  }
}

function pathIn(directory: FileHandle, name: string): string {
  return `/proc/self/fd/${directory.fd}/${name}`;
}

/**
 * A file with more than one link may be another user's, linked into the directory (the image's
 * kernel refuses to make such a link, others may not). One that was replaced meanwhile has none.
 *
 * The buffer has one byte more than the file had, which shows whether the file grew. A file that
 * shrank gives what is left.
 */
function bufferFor(facts: Stats, name: string, bytesMax: number): Buffer {
  if (!facts.isFile()) throw notRegular(`take "${name}": it is not a regular file`);
  if (facts.nlink > 1)
    throw new Fault("file.not-regular", `take "${name}": it has ${facts.nlink} links, a file that is handed over has one`);
  if (facts.size > bytesMax) throw tooLarge(name, bytesMax);
  return Buffer.allocUnsafeSlow(facts.size + 1);
}

function wholeFile(buffer: Buffer, length: number, name: string, bytesMax: number): Uint8Array {
  if (length < buffer.byteLength) return buffer.subarray(0, length);
  throw length > bytesMax ? tooLarge(name, bytesMax) : new Fault("file.read-failed", `take "${name}": it grew while it was read`);
}

function notRegular(found: string, cause?: unknown): Fault {
  const hint = "move it away; the agent leaves regular files there, and nothing else belongs there";
  return new Fault("file.not-regular", `${found}; ${hint}`, { cause });
}

function tooLarge(name: string, bytesMax: number): Fault {
  return new Fault("file.too-large", `take "${name}": it has more than ${bytesMax} bytes`);
}
