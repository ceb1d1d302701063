// Reading from the device itself, past the kernel's page cache. [OTA-33]
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { asFault, Fault } from "../../fault.ts";
import { createMutex } from "../../mutex.ts";
import { errnoOf } from "../files/index.ts";
import { ADDRESS_STEP_BYTES, DIRECT_BYTES_ALIGN } from "./limits.ts";

export interface DirectReader {
  read(offset: number, into: Uint8Array): Promise<number>;
  close(): Promise<void>;
}

/**
 * Opens with O_DIRECT, open(2), where the file system supports it (tmpfs does not). Otherwise reads
 * go through the page cache, which shows at least what write(2) was given.
 * @param file the same file, open without O_DIRECT; it is read when O_DIRECT does not work.
 * @throws Fault `slot.read-failed`.
 */
export async function openDirect(path: string, file: FileHandle): Promise<DirectReader> {
  const direct = await tryOpen(path);
  const exclusively = createMutex();
  const memory = direct === undefined ? undefined : createAlignedMemory(direct);
  const read = async (offset: number, into: Uint8Array): Promise<number> => {
    if (memory === undefined) return readUpTo(file, into, offset);
    // Reads the whole sectors around the requested range, into memory at an address that the device
    // can write to.
    const from = Math.floor(offset / DIRECT_BYTES_ALIGN) * DIRECT_BYTES_ALIGN;
    const skip = offset - from;
    const filled = await memory.read(from, Math.ceil((skip + into.byteLength) / DIRECT_BYTES_ALIGN) * DIRECT_BYTES_ALIGN);
    if (filled === undefined) return readUpTo(file, into, offset);
    const length = Math.min(Math.max(filled.byteLength - skip, 0), into.byteLength);
    into.set(filled.subarray(skip, skip + length));
    return length;
  };
  return {
    read: (offset, into) =>
      exclusively(async () => {
        try {
          return await read(offset, into);
        } catch (error) {
          throw asFault(error, "slot.read-failed", `read "${path}" at ${offset}`);
        }
      }),
    close: async () => direct?.close(),
  };
}

async function tryOpen(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_DIRECT);
  } catch (error) {
    if (errnoOf(error) === "EINVAL") return undefined;
    if (errnoOf(error) === "ELOOP") throw new Fault("slot.read-failed", `read "${path}": it is a link`, { cause: error });
    throw asFault(error, "slot.read-failed", `read "${path}"`);
  }
}

interface AlignedMemory {
  /**
   * @returns what was read of `bytes`, valid until the next call; undefined when no start of the
   *   memory works.
   */
  read(from: number, bytes: number): Promise<Uint8Array | undefined>;
}

/**
 * Node does not tell the address of a buffer. When the device refuses a read (EINVAL), the memory
 * was not aligned, so its start moves on until a read is accepted. Any read may be the first that
 * reaches the device: a read of a hole in a file is accepted at any address.
 */
function createAlignedMemory(direct: FileHandle): AlignedMemory {
  let memory = Buffer.alloc(0);
  let start = 0;
  return {
    read: async (from, bytes) => {
      if (memory.byteLength < bytes + DIRECT_BYTES_ALIGN) memory = Buffer.allocUnsafeSlow(bytes + DIRECT_BYTES_ALIGN);
      for (let tried = 0; tried < DIRECT_BYTES_ALIGN; tried += ADDRESS_STEP_BYTES) {
        const into = memory.subarray(start, start + bytes);
        try {
          return into.subarray(0, await readUpTo(direct, into, from));
        } catch (error) {
          if (errnoOf(error) !== "EINVAL") throw error;
          start = (start + ADDRESS_STEP_BYTES) % DIRECT_BYTES_ALIGN;
        }
      }
      return undefined;
    },
  };
}

/** read(2) may return fewer bytes than there are; 0 is the end. @returns the number of bytes. */
async function readUpTo(file: FileHandle, into: Uint8Array, position: number): Promise<number> {
  let length = 0;
  while (length < into.byteLength) {
    const { bytesRead } = await file.read(into, length, into.byteLength - length, position + length);
    length += bytesRead;
    // a sector that is not full is the last one
    if (bytesRead === 0 || bytesRead % DIRECT_BYTES_ALIGN !== 0) break;
  }
  return length;
}
