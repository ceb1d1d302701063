// Writing one part of a slot, on a file or a partition. [OTA-33]
import type { FileHandle } from "node:fs/promises";
import { asFault, Fault } from "../../fault.ts";
import type { SlotWriter } from "../../ports.ts";
import { errnoOf } from "../files/index.ts";
import { openDirect } from "./direct.ts";

/**
 * @param path of `file`, which is opened a second time for reading back.
 * @param bytes the size that the part will have. Nothing is written or read beyond it.
 * @param closed called once, when the writer is closed.
 * @throws Fault `slot.read-failed`; `file` is still open then.
 */
export async function openSlotWriter(path: string, file: FileHandle, bytes: number, closed: () => void): Promise<SlotWriter> {
  const direct = await openDirect(path, file);
  return {
    write: (offset, chunk) => withSlotFault(path, () => writeAt(file, offset, chunk, bytes)),
    read: (offset, into) => direct.read(offset, into.subarray(0, Math.max(0, bytes - offset))),
    sync: () => withSlotFault(path, () => file.sync()),
    close: async () => {
      await direct.close();
      await file.close();
      closed();
    },
  };
}

/** write(2) may write less than it was given. */
async function writeAt(file: FileHandle, offset: number, chunk: Uint8Array, bytes: number): Promise<void> {
  if (offset + chunk.byteLength > bytes) throw new Fault("slot.too-small", `write at ${offset}: past the end, ${bytes}`);
  let written = 0;
  while (written < chunk.byteLength) {
    const { bytesWritten } = await file.write(chunk, written, chunk.byteLength - written, offset + written);
    written += bytesWritten;
  }
}

/**
 * @throws Fault of `work` itself; `file.not-regular` for a link; `slot.busy` for a device that
 *   something else holds (O_EXCL, open(2)); `slot.write-failed` otherwise.
 */
export async function withSlotFault<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ELOOP") throw new Fault("file.not-regular", `write "${path}": it is a link`, { cause: error });
    if (errno === "EBUSY") throw new Fault("slot.busy", `write "${path}": it is in use`, { cause: error });
    throw asFault(error, "slot.write-failed", `write "${path}"`);
  }
}
