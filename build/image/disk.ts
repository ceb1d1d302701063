// The whole disk as a sparse file, without loop devices and mounts: each file system is made as a file and put in its place.
import { mkdir, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "../../hal/fault.ts";
import type { SlotName } from "../../hal/slots/format.ts";
import { copyInto } from "./files.ts";
import { run } from "./run.ts";

const SLOT_NAMES: readonly SlotName[] = ["a", "b"];
const MEBIBYTE = 1_048_576;
const KERNELS = 3;
/** Of the data's blocks, for root alone: an agent that fills the disk does not keep the warden from writing down what happens. */
const DATA_KEPT_PERCENT = 10;

/** In MiB. */
export interface DiskSizes {
  readonly esp: number;
  /** Of each slot's root. */
  readonly slot: number;
  readonly data: number;
}

export interface DiskParts {
  readonly bootLoader: string;
  readonly kernel: string;
  readonly addons: Readonly<Record<SlotName, string>>;
  readonly root: string;
}

/** UEFI specification 2.10, section 5.3.3, and the Discoverable Partitions Specification. */
const TYPES = {
  esp: "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
  root: "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
  data: "4D21B016-B534-45C2-A9FB-5C16E091FD2D",
} as const;

/** As hal/linux/slots/entries.ts names it: generation 1, slot a, needs no try. */
const FIRST = "gw_1_a.efi";

/** No menu, no editor, no way in by a key; what is tried is counted by the names of the files. */
const LOADER_CONF =
  "timeout menu-disabled\neditor no\nauto-entries no\nauto-firmware no\nauto-reboot no\nauto-poweroff no\nbeep no\n";

/** Slot a holds the system, committed: there is nothing to go back to. Slot b is empty. */
export async function makeDisk(file: string, work: string, parts: DiskParts, sizes: DiskSizes): Promise<void> {
  // the committed kernel and the one that is being written, and one more for what a power cut may leave
  const kernel = (await stat(parts.kernel)).size;
  if (KERNELS * kernel > sizes.esp * MEBIBYTE)
    throw new Fault(
      "slot.too-small",
      `put ${KERNELS} kernels of ${kernel} bytes into an ESP of ${sizes.esp} MiB: give a larger --esp-mib`,
    );
  const { size } = await stat(parts.root);
  if (size > sizes.slot * MEBIBYTE)
    throw new Fault("slot.too-small", `put the root of ${size} bytes into a slot of ${sizes.slot} MiB: give a larger --slot-mib`);
  const esp = join(work, "esp.img");
  const data = join(work, "data.img");
  await makeEsp(esp, work, parts, sizes.esp);
  await makeData(data, work, sizes.data);
  const table = [
    { name: "esp", type: TYPES.esp, mib: sizes.esp, from: esp },
    { name: "root-a", type: TYPES.root, mib: sizes.slot, from: parts.root },
    { name: "root-b", type: TYPES.root, mib: sizes.slot, from: undefined },
    { name: "data", type: TYPES.data, mib: sizes.data, from: data },
  ];
  await writeFile(file, "");
  await truncate(file, (table.reduce((sum, { mib }) => sum + mib, 0) + 2) * MEBIBYTE);
  const lines = table.map(({ name, type, mib }) => `size=${mib}MiB, type=${type}, name=${name}`);
  await run("sfdisk", ["--quiet", file], { input: `label: gpt\nfirst-lba: 2048\n${lines.join("\n")}\n` });
  let offset = MEBIBYTE;
  for (const { mib, from } of table) {
    if (from !== undefined) await copyInto(file, from, offset);
    offset += mib * MEBIBYTE;
  }
}

/** Large ones, for a small table that is checked and read quickly; but FAT32 is told by having at least 65,525 (Microsoft FAT specification, section 3.5). */
function clusterSectors(mib: number): number {
  const sectors = (mib * MEBIBYTE) / 512;
  return [8, 4, 2].find((size) => sectors / size > 70_000) ?? 1;
}

async function makeEsp(file: string, work: string, { bootLoader, kernel, addons }: DiskParts, mib: number): Promise<void> {
  await writeFile(file, "");
  await truncate(file, mib * MEBIBYTE);
  await run("mkfs.vfat", ["-F", "32", "-s", String(clusterSectors(mib)), "-n", "ESP", "-i", "53414c4c", file]);
  const conf = join(work, "loader.conf");
  await writeFile(conf, LOADER_CONF);
  const folders = ["EFI", "EFI/BOOT", "EFI/Linux", `EFI/Linux/${FIRST}.extra.d`, "EFI/sallyport", "loader", "sallyport"];
  await run("mmd", ["-i", file, ...folders.map((folder) => `::${folder}`)]);
  const copies: readonly (readonly [string, string])[] = [
    [bootLoader, "EFI/BOOT/BOOTX64.EFI"],
    [conf, "loader/loader.conf"],
    [kernel, `EFI/Linux/${FIRST}`],
    [addons.a, `EFI/Linux/${FIRST}.extra.d/slot.addon.efi`],
    ...SLOT_NAMES.map((slot) => [addons[slot], `EFI/sallyport/slot-${slot}.addon.efi`] as const),
  ];
  for (const [from, to] of copies) await run("mcopy", ["-i", file, from, `::${to}`]);
}

async function makeData(file: string, work: string, mib: number): Promise<void> {
  const tree = join(work, "data");
  await mkdir(tree);
  await writeFile(file, "");
  await truncate(file, mib * MEBIBYTE);
  const kept = String(DATA_KEPT_PERCENT);
  await run("mkfs.ext4", ["-q", "-L", "data", "-m", kept, "-E", "root_owner=0:0,lazy_itable_init=0", "-d", tree, file]);
}
