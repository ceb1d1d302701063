// What tells a kernel image in which slot it is: releases are the same for both. systemd-stub(7) adds the command line of every `*.addon.efi` in the folder
// `NAME.efi.extra.d` beside the image (the boot counter is no part of NAME) to the image's own; ours says `sallyport.slot=`. [OTA-33]
//
// Why that is sound when the power goes: the folder's name holds the slot, as the kernel's does, and what is in it says the same slot, so no add-on is ever wrong, only
// torn or too many. It is synced before the kernel gets the name that it belongs to:
//   - cut before the rename: a folder without a kernel, which the boot loader does not look at; found torn, it is written anew by the next try;
//   - cut in the rename, the kernel under both names: where only counters differ (a commit, the loader's own), both have the one folder; else each has its own;
//   - older generations' folders stay until the slot is written again, kernels gone first: they are still true;
//   - the committed slot's is never removed, as its kernel is not (esp.ts: retire).
// A kernel whose add-on were lost all the same does not boot (init.sh), which ends a trial; one with the other slot's finds a root whose hash is not its own.
// The loader's EFI variable LoaderEntrySelected would say the name too, without a file; but it needs efivarfs and UTF-16 in the initrd and firmware that keeps
// variables at run time, nothing signs or measures it, and with Secure Boot an add-on is checked and measured as the kernel is.
import { constants } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { SlotName } from "../../format/slots.ts";
import { errnoOf, type FileOps, readFault, SAFE, syncDirectory, writeFault } from "../files/index.ts";
import { type BootEntry, entryName, parseEntry } from "./entries.ts";

/** The add-ons of both slots, put there with the image, on the EFI system partition. An image whose kernels name their slot themselves has none. */
const ADDONS_DIRECTORY = "EFI/sallyport";
const ADDON = "slot.addon.efi";
const FOLDER_PATTERN = /^(.+\.efi)\.extra\.d$/u;

/** Makes the folder of the add-on for an entry that is to be. Durable when it resolves: it comes before the name. @throws Fault `file.*`. */
export async function provideAddon(
  ops: FileOps,
  esp: string,
  directory: string,
  { generation, slot }: Pick<BootEntry, "generation" | "slot">,
): Promise<void> {
  const addon = await readIfThere(join(esp, ADDONS_DIRECTORY, `slot-${slot}.addon.efi`));
  if (addon === undefined) return;
  const folder = join(directory, `${entryName({ generation, slot, tries: undefined })}.extra.d`);
  const path = join(folder, ADDON);
  if ((await readIfThere(path))?.equals(addon) === true) return;
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

/** Of a slot whose kernels are gone. @param names what is in `directory`. @throws Node's errors. */
export async function removeAddons(directory: string, names: readonly string[], slot: SlotName): Promise<void> {
  for (const name of names)
    if (parseEntry(FOLDER_PATTERN.exec(name)?.[1] ?? "")?.slot === slot) await rm(join(directory, name), { recursive: true });
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw readFault(error, `read "${path}"`);
  }
}
