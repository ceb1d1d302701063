// Taking files from a directory that another user owns. [OTA-32]
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { Fault } from "../../fault.ts";
import { quoted } from "../../format/text.ts";
import type { HandoverReader } from "../../ports.ts";
import { errnoOf, isName, readFault } from "../files/index.ts";

/** O_NOFOLLOW: no link; O_NONBLOCK: no waiting for a pipe's writer; O_NOCTTY: a terminal does not become ours. */
const UNTRUSTED = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

export interface HandoverReaderOptions {
  /**
   * Take files by calls that the calling thread waits for: a third of the processor time, for a program that has nothing else to attend to. What they wait for is
   * the disk alone: pipes and leases are not waited for (O_NONBLOCK, fcntl(2)).
   */
  readonly blocking?: boolean;
}

/**
 * [OTA-32] The directory is opened once and held, names are looked up in it and in no other, whatever its path is made to lead to meanwhile (Node has no
 * openat(2): `/proc/self/fd/N/name` is the same walk, proc(5)).
 * @throws Fault `file.not-regular` when `directory` is a link or none, `file.read-failed`.
 */
export async function linuxHandoverReader(
  directory: string,
  { blocking = false }: HandoverReaderOptions = {},
): Promise<HandoverReader & AsyncDisposable> {
  const held = await openDirectory(directory);
  return {
    take: (name, bytesMax) => taking(name, () => (blocking ? takeNow : take)(held, name, bytesMax)),
    [Symbol.asyncDispose]: () => held.close(),
  };
}

async function openDirectory(directory: string): Promise<FileHandle> {
  try {
    return await open(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) === "ENOTDIR")
      throw new Fault("file.not-regular", `use "${directory}" as a hand-over directory: it is a link or no directory`, {
        cause: error,
      });
    throw readFault(error, `open the hand-over directory "${directory}"`);
  }
}

async function taking(name: string, work: () => Promise<Uint8Array>): Promise<Uint8Array | undefined> {
  if (!isName(name))
    throw new Fault("file.read-failed", `take ${quoted(name, 80)}: expected a file name of a-z, 0-9, ".", "_" and "-"`);
  try {
    return await work();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw readFault(error, `take "${name}"`);
  }
}

async function take(directory: FileHandle, name: string, bytesMax: number): Promise<Uint8Array> {
  await using file = await open(pathIn(directory, name), UNTRUSTED);
  const buffer = roomFor(await file.stat(), name, bytesMax);
  let length = 0;
  while (length < buffer.byteLength) {
    const { bytesRead } = await file.read(buffer, length, buffer.byteLength - length, length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return whole(buffer, length, name, bytesMax);
}

async function takeNow(directory: FileHandle, name: string, bytesMax: number): Promise<Uint8Array> {
  const file = openSync(pathIn(directory, name), UNTRUSTED);
  try {
    const buffer = roomFor(fstatSync(file), name, bytesMax);
    let length = 0;
    while (length < buffer.byteLength) {
      const bytesRead = readSync(file, buffer, length, buffer.byteLength - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return whole(buffer, length, name, bytesMax);
  } finally {
    closeSync(file);
  }
}

function pathIn(directory: FileHandle, name: string): string {
  return `/proc/self/fd/${directory.fd}/${name}`;
}

/** One byte of room past the size it had tells whether it grew; a file that shrank gives what is left. */
function roomFor(facts: Stats, name: string, bytesMax: number): Buffer {
  if (!facts.isFile()) throw new Fault("file.not-regular", `take "${name}": it is no regular file`);
  if (facts.size > bytesMax) throw tooLarge(name, bytesMax);
  return Buffer.allocUnsafeSlow(facts.size + 1);
}

function whole(buffer: Buffer, length: number, name: string, bytesMax: number): Uint8Array {
  if (length < buffer.byteLength) return buffer.subarray(0, length);
  throw length > bytesMax ? tooLarge(name, bytesMax) : new Fault("file.read-failed", `take "${name}": it grew while it was read`);
}

function tooLarge(name: string, bytesMax: number): Fault {
  return new Fault("file.too-large", `take "${name}": it has more than ${bytesMax} bytes`);
}
