// Slots that are files: for simulated boards, and for machines whose boot loader mounts images from
// a file system. [OTA-33]
import { join } from "node:path";
import type { Slots } from "../../ports.ts";
import type { SlotPart } from "../../format/slots.ts";
import { runningSlot } from "./cmdline.ts";
import { openImage } from "./image.ts";
import { createWriterGuard, refuseRunning, refuseTooLarge } from "./guards.ts";

export interface FileSlotsOptions {
  /**
   * Holds `a.img`, `b.img` and, for machines that have them, `.verity` and `.kernel` beside them.
   */
  readonly directory: string;
  /** The root of the file system; its proc/cmdline says which slot runs. */
  readonly root: string;
  /** The size limit of a part. */
  readonly partBytesMax: number;
}

const EXTENSIONS: Readonly<Record<SlotPart, string>> = { root: "img", verity: "verity", kernel: "kernel" };

export function createFileSlots({ directory, root, partBytesMax }: FileSlotsOptions): Slots {
  const exclusively = createWriterGuard();
  return {
    running: () => runningSlot(root),
    open: async (slot, part, bytes) => {
      refuseRunning(await runningSlot(root), slot);
      refuseTooLarge(slot, bytes, partBytesMax);
      const path = join(directory, `${slot}.${EXTENSIONS[part]}`);
      return exclusively(path, (closed) => openImage(path, bytes, closed));
    },
  };
}
