// The add-on that tells a kernel image which slot it is in; releases are the same for both slots.
// systemd-stub(7) adds the command line of every `*.addon.efi` in the folder `NAME.efi.extra.d`
// beside the image to the image's own (the boot counter is not part of NAME). Our add-on says
// `sallyport.slot=`. [OTA-33]
//
// Why this survives a power cut: the folder's name contains the slot, as the kernel's name does,
// and its content names the same slot. So no add-on is ever wrong; it can only be torn or
// superfluous. The folder is synced before the kernel gets the name that it belongs to:
// - Cut before the rename: a folder without a kernel remains. The boot loader ignores it, and a
//   torn one is written anew by the next attempt.
// - Cut within the rename, with the kernel under both names: where only the counters differ (after
//   a commit, or the loader's own rename), both names share one folder; otherwise each has its own.
// - Folders of older generations stay until the slot is written again, and their kernels go first.
//   Until then they are still true.
// - The folder of the committed slot is never removed, because its kernel is not (esp.ts: retire).
//
// A kernel that has lost its add-on all the same does not boot (init.sh), which ends a trial. With
// the add-on of the other slot it finds a root file system whose hash is not its own. The loader's
// EFI variable LoaderEntrySelected would also give the name, without a file. But it needs efivarfs
// and UTF-16 in the initrd, and firmware that keeps variables at run time; nothing signs or
// measures it, while with Secure Boot an add-on is checked and measured like the kernel.
import { constants } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { SlotName } from "../../format/slots.ts";
import { Fault } from "../../fault.ts";
import { type FileOps, readContent, SAFE, syncDirectory, writeFault } from "../files/index.ts";
import { type BootEntry, entryName, parseEntry } from "./entries.ts";
import { ADDON_BYTES_MAX } from "./limits.ts";

/**
 * The add-ons of both slots on the EFI system partition, where the image puts them. An image whose
 * kernels name their slot themselves has none.
 */
const ADDONS_DIRECTORY = "EFI/sallyport";
const ADDON = "slot.addon.efi";
const FOLDER_PATTERN = /^(.+\.efi)\.extra\.d$/u;

/**
 * Makes the add-on's folder for an entry that will be created. Durable when it resolves, because it
 * must exist before the entry's name.
 * @throws Fault `file.*`.
 */
export async function provideAddon(
  ops: FileOps,
  esp: string,
  directory: string,
  { generation, slot }: Pick<BootEntry, "generation" | "slot">,
): Promise<void> {
  const addon = await readContent(join(esp, ADDONS_DIRECTORY, `slot-${slot}.addon.efi`), ADDON_BYTES_MAX);
  if (addon === undefined) return;
  const folder = join(directory, `${entryName({ generation, slot, tries: undefined })}.extra.d`);
  const path = join(folder, ADDON);
  if (await isThere(path, addon)) return;
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const { O_WRONLY, O_CREAT, O_TRUNC } = constants;
    const file = await ops.open(path, O_WRONLY | O_CREAT | O_TRUNC | SAFE, 0o600);
    try {
      for (let written = 0; written < addon.byteLength;)
        written += (await file.write(addon, written, addon.byteLength - written)).bytesWritten;
      await file.sync();
    } finally {
      await file.close();
    }
    await syncDirectory(ops, folder);
    await syncDirectory(ops, directory);
  } catch (error) {
    throw writeFault(error, `put the add-on of slot "${slot}" into "${folder}"`);
  }
}

/**
 * Removes the add-ons of a slot whose kernels are gone.
 * @param names the entries of `directory`.
 * @throws Node's errors.
 */
export async function removeAddons(directory: string, names: readonly string[], slot: SlotName): Promise<void> {
  for (const name of names)
    if (parseEntry(FOLDER_PATTERN.exec(name)?.[1] ?? "")?.slot === slot) await rm(join(directory, name), { recursive: true });
}

/** A copy that is larger than any add-on is torn like one that is too short. */
async function isThere(path: string, addon: Uint8Array): Promise<boolean> {
  try {
    const bytes = await readContent(path, ADDON_BYTES_MAX);
    return bytes !== undefined && Buffer.from(addon).equals(bytes);
  } catch (error) {
    if (error instanceof Fault && error.code === "file.too-large") return false;
    throw error;
  }
}
