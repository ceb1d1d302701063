// The kernel images on the EFI system partition, as files.
//
// files/fat-rename.ts says what this relies on, and what FAT does not guarantee. Names are short
// and few, so that a rename mostly changes one sector, and disks write a sector as a whole: then
// the rename is one write. Where that fails, because the directory has grown beyond a sector or a
// write-back comes in between, the name of the committed entry is still not changed while there is
// no other. At worst the committed system boots, and the other one is written again.
import { join } from "node:path";
import { Fault } from "../../fault.ts";
import type { SlotName } from "../../format/slots.ts";
import { type FileOps, hasBytes, linuxOps, readFault, renameOnFat, syncDirectory, writeFault } from "../files/index.ts";
import { provideAddon, removeAddons } from "./addons.ts";
import { type BootEntry, committedOf, entryName, parseEntry } from "./entries.ts";
import { ENTRIES_MAX } from "./limits.ts";

/** Where systemd-boot looks for unified kernel images. */
const ENTRIES_DIRECTORY = "EFI/Linux";

export interface KernelImages {
  /** @throws Fault `boot.plan-invalid` when there are more files than expected; `file.*`. */
  entries(): Promise<readonly BootEntry[]>;
  /**
   * The name of the kernel of `slot` that was written and not tried yet, if there is one. The boot
   * loader ignores it.
   */
  written(slot: SlotName): Promise<string | undefined>;
  /** Durable when it resolves. `to` must not exist. @throws Fault `file.*`. */
  rename(from: string, to: Omit<BootEntry, "name">): Promise<void>;
  /**
   * Removes what could boot a slot that will be written: the kernel that matches the slot's
   * previous content. Durable when it resolves.
   * @param written also removes the kernel that was written and not tried yet.
   * @throws Fault `slot.in-use` for the slot that the boot loader falls back to; `file.*`.
   */
  retire(slot: SlotName, written: boolean): Promise<void>;
  /** The path at which the next kernel of `slot` is written. */
  pathFor(slot: SlotName): string;
}

/** @param esp where the EFI system partition is mounted, accessible to root only (umask=0077). */
export function createKernelImages(esp: string, ops: FileOps = linuxOps): KernelImages {
  const directory = join(esp, ENTRIES_DIRECTORY);
  const list = async (): Promise<readonly string[]> => {
    const names = await withReadFault(directory, () => ops.names(directory, ENTRIES_MAX));
    if (names.length > ENTRIES_MAX)
      throw new Fault("boot.plan-invalid", `read the boot choice: more than ${ENTRIES_MAX} files are in "${directory}"`);
    return names;
  };
  const isThere = (name: string): Promise<boolean> =>
    withReadFault(join(directory, name), () => hasBytes(ops, join(directory, name)));
  const entries = async (): Promise<readonly BootEntry[]> => {
    const found: BootEntry[] = [];
    for (const entry of entriesIn(await list())) if (await isThere(entry.name)) found.push(entry);
    return found;
  };
  return {
    entries,
    written: async (slot) => ((await isThere(newName(slot))) ? newName(slot) : undefined),
    rename: async (from, entry) => {
      const to = entryName(entry);
      await provideAddon(ops, esp, directory, entry);
      await withWriteFault(`rename "${from}" to "${to}" in "${directory}"`, async () => {
        await renameOnFat(ops, join(directory, from), join(directory, to));
        await syncDirectory(ops, directory);
      });
    },
    retire: async (slot, written) => {
      if (committedOf(await entries())?.slot === slot)
        throw new Fault("slot.in-use", `write slot "${slot}": it is the committed one, which the boot loader falls back to`);
      const names = await list();
      const old = entriesIn(names).filter((entry) => entry.slot === slot);
      await withWriteFault(`remove the kernel of slot "${slot}"`, async () => {
        for (const { name } of old) await ops.unlink(join(directory, name));
        if (written && names.includes(newName(slot))) await ops.unlink(join(directory, newName(slot)));
        await syncDirectory(ops, directory);
        await removeAddons(directory, names, slot);
      });
    },
    pathFor: (slot) => join(directory, newName(slot)),
  };
}

/** It does not end in `.efi`, so no boot loader takes it for a kernel. */
function newName(slot: SlotName): string {
  return `gw_${slot}.new`;
}

function entriesIn(names: readonly string[]): readonly BootEntry[] {
  return names.map(parseEntry).filter((entry) => entry !== undefined);
}

async function withReadFault<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw readFault(error, `read the boot choice at "${path}"`);
  }
}

async function withWriteFault(action: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw writeFault(error, action);
  }
}
