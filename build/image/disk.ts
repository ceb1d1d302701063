// The whole disk as a sparse file, without loop devices and mounts: each file system is made as a
// file and copied to its place.
import { mkdir, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "../../hal/fault.ts";
import type { Base } from "./base.ts";
import { copyInto } from "./files.ts";
import { makeSlotAddon } from "./kernel.ts";
import { type DiskSizes, layoutOf, MEBIBYTE } from "./layout.ts";
import { run } from "./run.ts";

const SECTOR_BYTES = 512;
const KERNELS = 3;
/**
 * Share of the data blocks for root only: an agent that fills the disk cannot stop the warden's
 * records.
 */
const DATA_RESERVED_PERCENT = 10;

/** The files of the release in slot a. Everything else on the disk comes from the base. */
export interface DiskParts {
  readonly base: Base;
  readonly kernel: string;
  readonly root: string;
}

/** UEFI specification 2.10, section 5.3.3, and the Discoverable Partitions Specification. */
const TYPES = {
  esp: "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
  root: "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
  data: "4D21B016-B534-45C2-A9FB-5C16E091FD2D",
} as const;

/** From Debian's package systemd-boot-efi. */
const BOOT_LOADER = "usr/lib/systemd/boot/efi/systemd-bootx64.efi";

/** The name that hal/linux/slots/entries.ts gives: generation 1, slot a, committed. */
const FIRST = "gw_1_a.efi";

/** No menu, no editor and no keys. The tries are counted in the names of the files. */
const LOADER_CONF =
  "timeout menu-disabled\neditor no\nauto-entries no\nauto-firmware no\nauto-reboot no\nauto-poweroff no\nbeep no\n";

/**
 * Makes the disk. Slot a has the committed system, and slot b is empty.
 * @param work a directory for intermediate files.
 * @throws Fault `slot.too-small`, `process.failed`.
 */
export async function makeDisk(file: string, work: string, parts: DiskParts, sizes: DiskSizes): Promise<void> {
  await checkSizes(parts, sizes);
  const [esp, data] = [join(work, "esp.img"), join(work, "data.img")];
  await makeEsp(esp, work, parts, sizes.esp);
  await makeData(data, work, sizes.data);
  const { partitions, bytes } = layoutOf(sizes);
  const table = [
    { name: "esp", type: TYPES.esp, content: esp },
    { name: "root-a", type: TYPES.root, content: parts.root },
    { name: "root-b", type: TYPES.root, content: undefined },
    { name: "data", type: TYPES.data, content: data },
  ] as const;
  const lines = table.map(({ name, type }) => {
    const { from, to } = partitions[name];
    return `start=${from / SECTOR_BYTES}, size=${(to - from) / SECTOR_BYTES}, type=${type}, name=${name}`;
  });
  await writeFile(file, "");
  await truncate(file, bytes);
  await run("sfdisk", ["--quiet", file], { input: `label: gpt\n${lines.join("\n")}\n` });
  for (const { name, content } of table) if (content !== undefined) await copyInto(file, content, partitions[name].from);
}

async function checkSizes(parts: DiskParts, { esp, slot }: DiskSizes): Promise<void> {
  // The committed kernel, the one that is being written, and one that a power cut may leave.
  const kernel = (await stat(parts.kernel)).size;
  if (KERNELS * kernel > esp * MEBIBYTE)
    throw new Fault(
      "slot.too-small",
      `fit ${KERNELS} kernels of ${kernel} bytes into an ESP of ${esp} MiB: choose a larger --esp-mib`,
    );
  const { size } = await stat(parts.root);
  if (size > slot * MEBIBYTE)
    throw new Fault("slot.too-small", `fit the root of ${size} bytes into a slot of ${slot} MiB: choose a larger --slot-mib`);
}

/**
 * Large clusters make a small table, which is checked and read quickly. But FAT32 must have at
 * least 65,525 of them (Microsoft FAT specification, section 3.5).
 */
function clusterSectors(mib: number): number {
  const sectors = (mib * MEBIBYTE) / SECTOR_BYTES;
  return [8, 4, 2].find((size) => sectors / size > 70_000) ?? 1;
}

async function makeEsp(file: string, work: string, { base, kernel }: DiskParts, mib: number): Promise<void> {
  const addons = { a: join(work, "slot-a.addon.efi"), b: join(work, "slot-b.addon.efi") };
  await makeSlotAddon(base, "a", addons.a);
  await makeSlotAddon(base, "b", addons.b);
  await writeFile(file, "");
  await truncate(file, mib * MEBIBYTE);
  await run("mkfs.vfat", ["-F", "32", "-s", String(clusterSectors(mib)), "-n", "ESP", "-i", "53414c4c", file]);
  const conf = join(work, "loader.conf");
  await writeFile(conf, LOADER_CONF);
  const folders = ["EFI", "EFI/BOOT", "EFI/Linux", `EFI/Linux/${FIRST}.extra.d`, "EFI/sallyport", "loader", "sallyport"];
  await run("mmd", ["-i", file, ...folders.map((folder) => `::${folder}`)]);
  const copies: readonly (readonly [string, string])[] = [
    [join(base.tools, BOOT_LOADER), "EFI/BOOT/BOOTX64.EFI"],
    [conf, "loader/loader.conf"],
    [kernel, `EFI/Linux/${FIRST}`],
    [addons.a, `EFI/Linux/${FIRST}.extra.d/slot.addon.efi`],
    [addons.a, "EFI/sallyport/slot-a.addon.efi"],
    [addons.b, "EFI/sallyport/slot-b.addon.efi"],
  ];
  for (const [from, to] of copies) await run("mcopy", ["-i", file, from, `::${to}`]);
}

async function makeData(file: string, work: string, mib: number): Promise<void> {
  const tree = join(work, "data");
  await mkdir(tree);
  await writeFile(file, "");
  await truncate(file, mib * MEBIBYTE);
  const reserved = String(DATA_RESERVED_PERCENT);
  await run("mkfs.ext4", ["-q", "-L", "data", "-m", reserved, "-E", "root_owner=0:0,lazy_itable_init=0", "-d", tree, file]);
}
