// Slots that are files: for simulated boards, and for machines whose boot loader mounts images from a file system. [OTA-33]
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { asFault, Fault } from "../../fault.ts";
import type { Slots, SlotWriter } from "../../ports.ts";
import type { SlotName, SlotPart } from "../../slots/format.ts";
import { checkTrustedFile, errnoOf } from "../files/index.ts";
import { runningSlot } from "./cmdline.ts";
import { openDirect } from "./direct.ts";

export interface FileSlotsOptions {
  /** Holds `a.img`, `b.img` and, for machines that have them, `.verity` and `.kernel` beside them. */
  readonly directory: string;
  /** What stands for `/`: proc/cmdline says which slot runs. */
  readonly root: string;
  /** What a part may have. */
  readonly partBytesMax: number;
}

const EXTENSIONS: Readonly<Record<SlotPart, string>> = { root: "img", verity: "verity", kernel: "kernel" };

export function fileSlots({ directory, root, partBytesMax }: FileSlotsOptions): Slots {
  const busy = new Set<string>();
  return {
    running: () => runningSlot(root),
    open: async (slot, part, bytes) => {
      const path = join(directory, `${slot}.${EXTENSIONS[part]}`);
      await refuse(await runningSlot(root), slot, bytes, partBytesMax);
      if (busy.has(path)) throw new Fault("slot.busy", `write slot "${slot}" ${part}: it is being written already`);
      busy.add(path);
      try {
        return await openWriter(path, bytes, () => busy.delete(path));
      } catch (error) {
        busy.delete(path);
        throw error;
      }
    },
  };
}

/** [OTA-33] */
async function refuse(running: SlotName, slot: SlotName, bytes: number, bytesMax: number): Promise<void> {
  if (slot === running) throw new Fault("slot.in-use", `write slot "${slot}": the system runs from it`);
  if (bytes > bytesMax) throw new Fault("slot.too-small", `write slot "${slot}": ${bytes} bytes, it takes at most ${bytesMax}`);
}

async function openWriter(path: string, bytes: number, closed: () => void): Promise<SlotWriter> {
  const file = await openImage(path, bytes);
  const direct = await openDirect(path, file);
  return {
    write: (offset, chunk) => writing(path, () => writeAt(file, offset, chunk, bytes)),
    read: (offset, into) => direct.read(offset, into),
    sync: () => writing(path, () => file.sync()),
    close: async () => {
      await direct.close();
      await file.close();
      closed();
    },
  };
}

/** Truncated to the size it will have, so that nothing of a larger image before it stays behind the end. */
async function openImage(path: string, bytes: number): Promise<FileHandle> {
  const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
  return writing(path, async () => {
    const file = await open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
    try {
      checkTrustedFile(await file.stat(), path);
      await file.truncate(bytes);
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  });
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

async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (errnoOf(error) === "ELOOP") throw new Fault("file.not-regular", `write "${path}": it is a link`, { cause: error });
    throw asFault(error, "slot.write-failed", `write "${path}"`);
  }
}
