// The initrd's init program in the shell that it gets on a gateway: which disk it chooses. The
// kernel, and what is done to it, are files here.
import { spawnSync } from "node:child_process";
import { copyFile, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { test } from "tap";
import { debianBase } from "../../../build/image/base.ts";
import { IMAGE_FOLDER } from "../../../build/image/paths.ts";
import { needsBase } from "../../lab/runner/debian-base.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import type { TestContext } from "../../lab/runner/context.ts";
import { HANG_MS } from "../../lab/runner/process.ts";

interface Disk {
  /** Path in sysfs, below /sys/devices. */
  readonly path: string;
  /** Names of partitions; their order gives the numbers. */
  readonly partitions: readonly string[];
  /** As the kernel reports it for cards, and for disks behind SCSI. */
  readonly type?: string;
  readonly removable?: "0" | "1";
}

const OURS = ["esp", "root-a", "root-b", "data"];
const VIRTIO = { path: "pci0000:00/0000:00:04.0/virtio1/block/vda", partitions: OURS };
const EMMC = { path: "pci0000:00/0000:00:1a.0/mmc_host/mmc0/mmc0:0001/block/mmcblk0", partitions: OURS, type: "MMC" };
const SATA = { path: "pci0000:00/0000:00:1f.2/ata2/host1/target1:1:0/1:1:0:0/block/sda", partitions: OURS, type: "0" };
const NVME = { path: "pci0000:00/0000:00:1d.0/0000:03:00.0/nvme/nvme0/nvme0n1", partitions: OURS };
const CARD = { path: "pci0000:00/0000:00:1b.0/mmc_host/mmc1/mmc1:aaaa/block/mmcblk1", partitions: OURS, type: "SD" };

const FAKES = { insmod: "", dmsetup: 'echo "$*" > /log', mount: "", sleep: "", switch_root: "" };
const CMDLINE = `quiet sallyport.verity=100:${"a".repeat(64)}:5a17 sallyport.slot=a\n`;

/** @returns the device that is opened as the root, or why none is. */
async function boot(t: TestContext, disks: readonly Disk[], cmdline = CMDLINE): Promise<string> {
  const root = await temporaryDirectory(t);
  const put = async (path: string, content: string, mode = 0o644): Promise<void> => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content, { mode });
  };
  const { tools } = await debianBase(() => undefined);
  await mkdir(join(root, "bin"));
  await copyFile(join(tools, "usr/bin/busybox"), join(root, "bin/busybox"));
  for (const applet of ["sh", "basename", "cat", "dirname", "grep"]) await symlink("busybox", join(root, "bin", applet));
  for (const [name, script] of Object.entries(FAKES)) await put(`bin/${name}`, `#!/bin/sh\n${script}\n`, 0o755);
  await put("init", await readFile(join(IMAGE_FOLDER, "init.sh"), "utf8"), 0o755);
  for (const path of ["log", "dev/kmsg", "modules/order"]) await put(path, "");
  await put("proc/cmdline", cmdline);
  await mkdir(join(root, "sys/class/block"), { recursive: true });
  for (const disk of disks) await plugIn(root, disk, put);
  spawnSync("/usr/sbin/chroot", [root, "/init"], { env: {}, timeout: HANG_MS });
  const opened = / (\/dev\/\S+) /u.exec(await readFile(join(root, "log"), "utf8"))?.[1];
  return opened ?? (await readFile(join(root, "dev/kmsg"), "utf8"));
}

async function plugIn(
  root: string,
  { path, partitions, type, removable = "0" }: Disk,
  put: (path: string, content: string) => Promise<void>,
): Promise<void> {
  const disk = `sys/devices/${path}`;
  const name = basename(path);
  const known = (device: string): Promise<void> =>
    symlink(`../../${device.slice("sys/".length)}`, join(root, "sys/class/block", basename(device)));
  await put(`${disk}/uevent`, `DEVNAME=${name}\nDEVTYPE=disk\n`);
  await put(`${disk}/removable`, `${removable}\n`);
  // The device of the disk, two levels above it, or one where the kernel has no directory between.
  const below = dirname(dirname(disk));
  if (type !== undefined) await put(`${below}/type`, `${type}\n`);
  await symlink("../..", join(root, disk, "device"));
  await known(disk);
  for (const [index, partition] of partitions.entries()) {
    const node = `${name}${/\d$/u.test(name) ? "p" : ""}${index + 1}`;
    await put(`${disk}/${node}/uevent`, `DEVNAME=${node}\nDEVTYPE=partition\nPARTN=${index + 1}\nPARTNAME=${partition}\n`);
    await known(`${disk}/${node}`);
  }
}

const skip = await needsBase();

test("the slot's root is opened on any built-in disk", { skip }, async (t) => {
  t.equal(await boot(t, [VIRTIO]), "/dev/vda2");
  t.equal(await boot(t, [EMMC]), "/dev/mmcblk0p2");
  t.equal(await boot(t, [SATA]), "/dev/sda2");
  t.equal(await boot(t, [NVME]), "/dev/nvme0n1p2");
  t.equal(await boot(t, [EMMC], CMDLINE.replace("slot=a", "slot=b")), "/dev/mmcblk0p3");
});

test("a card or stick with the same root is ignored, even when it appears first or is the only disk", { skip }, async (t) => {
  const stick = { ...SATA, path: "pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host0/target0:0:0/0:0:0:0/block/sda" };
  const others: readonly Disk[] = [CARD, { ...CARD, type: "SDcombo" }, { ...SATA, removable: "1" }, stick];
  for (const other of others) {
    t.equal(await boot(t, [other, VIRTIO]), "/dev/vda2", other.path);
    t.match(await boot(t, [other]), /no built-in disk has a partition root-a: cards and USB sticks do not count/u);
  }
  t.equal(await boot(t, [CARD, EMMC]), "/dev/mmcblk0p2");
});

test("with two built-in disks none is chosen", { skip }, async (t) => {
  t.match(await boot(t, [SATA, NVME]), /two built-in disks have a partition root-a: remove the one that does not belong here/u);
});
