// Taking files from a directory that another user owns. [OTA-32]
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { Fault } from "../../fault.ts";
import type { Courier } from "../../ports.ts";
import { errnoOf, isName, readFault } from "../files/index.ts";

/** O_NOFOLLOW: no link; O_NONBLOCK: no waiting for a pipe's writer; O_NOCTTY: a terminal does not become ours. */
const UNTRUSTED = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

/**
 * [OTA-32] The directory is opened once and held, names are looked up in it and in no other, whatever its path is made to lead to meanwhile (Node has no
 * openat(2): `/proc/self/fd/N/name` is the same walk, proc(5)).
 * @throws Fault `file.not-regular` when `directory` is a link or none, `file.read-failed`.
 */
export async function linuxCourier(directory: string): Promise<Courier & AsyncDisposable> {
  const held = await openDirectory(directory);
  return {
    take: (name, bytesMax) => take(held, name, bytesMax),
    [Symbol.asyncDispose]: () => held.close(),
  };
}

async function openDirectory(directory: string): Promise<FileHandle> {
  try {
    return await open(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) === "ENOTDIR")
      throw new Fault("file.not-regular", `use "${directory}" as a courier's directory: it is a link or no directory`, {
        cause: error,
      });
    throw readFault(error, `open the courier's directory "${directory}"`);
  }
}

async function take(directory: FileHandle, name: string, bytesMax: number): Promise<Uint8Array | undefined> {
  if (!isName(name))
    throw new Fault("file.read-failed", `take "${name.slice(0, 80)}": expected a file name of a-z, 0-9, ".", "_" and "-"`);
  try {
    await using file = await open(`/proc/self/fd/${directory.fd}/${name}`, UNTRUSTED);
    const facts = await file.stat();
    if (!facts.isFile()) throw new Fault("file.not-regular", `take "${name}": it is no regular file`);
    if (facts.size > bytesMax) throw tooLarge(name, bytesMax);
    return await readOnce(file, name, facts.size, bytesMax);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw readFault(error, `take "${name}"`);
  }
}

/** One byte of room past the size it had tells whether it grew; a file that shrank gives what is left. */
async function readOnce(file: FileHandle, name: string, size: number, bytesMax: number): Promise<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(size + 1);
  let length = 0;
  while (length < buffer.byteLength) {
    const { bytesRead } = await file.read(buffer, length, buffer.byteLength - length, length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  if (length > size)
    throw length > bytesMax
      ? tooLarge(name, bytesMax)
      : new Fault("file.read-failed", `take "${name}": it grew while it was read`);
  return buffer.subarray(0, length);
}

function tooLarge(name: string, bytesMax: number): Fault {
  return new Fault("file.too-large", `take "${name}": it has more than ${bytesMax} bytes`);
}
