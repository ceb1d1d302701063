// The slots of a machine with systemd-boot: root file systems on partitions that are found by name,
// and kernel images on the EFI system partition. [OTA-33]
import { constants } from "node:fs";
import { open, realpath } from "node:fs/promises";
import { basename, join } from "node:path";
import { Fault } from "../../fault.ts";
import type { Slots, SlotWriter } from "../../ports.ts";
import type { SlotName } from "../../format/slots.ts";
import { errnoOf, type FileOps, readKernelFile } from "../files/index.ts";
import { runningSlot } from "./cmdline.ts";
import { createKernelImages } from "./esp.ts";
import { openImage } from "./image.ts";
import { SECTOR_BYTES, SECTORS_TEXT_BYTES_MAX } from "./limits.ts";
import { openSlotWriter, withSlotFault } from "./writer.ts";
import { createWriterGuard, refuseRunning, refuseTooLarge } from "./guards.ts";

export interface PartitionSlotsOptions {
  /**
   * The root of the file system. proc/cmdline says which slot runs. dev/sallyport/ has the
   * partitions of its disk: `root-a`, `root-b` and, for images that have them, `verity-a`,
   * `verity-b`.
   */
  readonly root: string;
  /** Where the EFI system partition is mounted. */
  readonly esp: string;
  /** The size limit of a kernel image. */
  readonly kernelBytesMax: number;
  /** For tests. */
  readonly ops?: FileOps;
}

/**
 * A kernel is written beside those that the boot loader sees, and becomes one of them when it is
 * tried ({@link createSystemdBootChoice}). Before a slot is written, its old kernel is removed,
 * because it would boot something that is no longer there. The committed slot is refused like the
 * running one.
 */
export function createPartitionSlots({ root, esp, kernelBytesMax, ops }: PartitionSlotsOptions): Slots {
  const exclusively = createWriterGuard();
  const kernels = createKernelImages(esp, ops);
  return {
    running: () => runningSlot(root),
    open: async (slot, part, bytes) => {
      refuseRunning(await runningSlot(root), slot);
      if (part === "kernel") {
        refuseTooLarge(slot, bytes, kernelBytesMax);
        const path = kernels.pathFor(slot);
        return exclusively(path, async (closed) => {
          await kernels.retire(slot, false);
          return openImage(path, bytes, closed);
        });
      }
      const path = await partition(root, `${part}-${slot}`);
      return exclusively(path, async (closed) => {
        refuseTooLarge(slot, bytes, await partitionBytes(root, path));
        await kernels.retire(slot, true);
        return openPartition(path, slot, bytes, closed);
      });
    },
  };
}

/**
 * The device behind the link that udev makes.
 * @throws Fault `slot.write-failed` when there is none.
 */
async function partition(root: string, name: string): Promise<string> {
  const link = join(root, "dev/sallyport", name);
  try {
    return await realpath(link);
  } catch (error) {
    const why =
      errnoOf(error) === "ENOENT" ? "the disk of the running system has no partition of this name" : "it cannot be followed";
    throw new Fault("slot.write-failed", `write "${link}": ${why}`, { cause: error });
  }
}

/**
 * sysfs counts in sectors of 512 bytes, independent of the disk (kernel:
 * Documentation/ABI/stable/sysfs-block).
 */
async function partitionBytes(root: string, path: string): Promise<number> {
  const size = join(root, "sys/class/block", basename(path), "size");
  const sectors = /^(\d{1,15})\n$/u.exec((await readKernelFile(size, SECTORS_TEXT_BYTES_MAX)) ?? "")?.[1];
  if (sectors === undefined)
    throw new Fault("file.not-regular", `write "${path}": it is not a partition, "${size}" gives no size`);
  return Number(sectors) * SECTOR_BYTES;
}

/** O_EXCL without O_CREAT refuses a device that is mounted or mapped, open(2). */
async function openPartition(path: string, slot: SlotName, bytes: number, closed: () => void): Promise<SlotWriter> {
  const { O_RDWR, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants;
  return withSlotFault(path, async () => {
    const file = await open(path, O_RDWR | O_EXCL | O_NOFOLLOW | O_NONBLOCK);
    try {
      if (!(await file.stat()).isBlockDevice())
        throw new Fault("file.not-regular", `write slot "${slot}": "${path}" is not a block device`);
      return await openSlotWriter(path, file, bytes, closed);
    } catch (error) {
      await file.close();
      throw error;
    }
  });
}
