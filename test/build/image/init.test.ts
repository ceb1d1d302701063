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

type Put = (path: string, content: string, mode?: number) => Promise<void>;

/** @returns the device that is opened as the root, or why none is. */
async function boot(t: TestContext, disks: readonly Disk[], cmdline = CMDLINE): Promise<string> {
  const { opened, said } = await run(t, disks, cmdline);
  return opened ?? said;
}

interface Run {
  readonly opened: string | undefined;
  /** The last message to the kernel's log. */
  readonly said: string;
  readonly text: (path: string) => Promise<string>;
}

async function run(
  t: TestContext,
  disks: readonly Disk[],
  cmdline: string,
  prepare: (root: string, put: Put) => Promise<void> = async () => undefined,
): Promise<Run> {
  const root = await temporaryDirectory(t);
  const text = (path: string): Promise<string> => readFile(join(root, path), "utf8");
  const put: Put = async (path, content, mode = 0o644) => {
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
  await prepare(root, put);
  spawnSync("/usr/sbin/chroot", [root, "/init"], { env: {}, timeout: HANG_MS });
  return { opened: / (\/dev\/\S+) /u.exec(await text("log"))?.[1], said: await text("dev/kmsg"), text };
}

async function plugIn(root: string, { path, partitions, type, removable = "0" }: Disk, put: Put): Promise<void> {
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

const WATCHDOG = "sys/class/watchdog/watchdog0";
/** How drivers take a time: `$3` of `watchdog -F -T SECONDS`. */
const DRIVERS = {
  obeys: `echo $3 > /${WATCHDOG}/timeout`,
  "has a bound that it does not tell": `[ $3 -gt 100 ] || echo $3 > /${WATCHDOG}/timeout`,
  rounds: `echo 176 > /${WATCHDOG}/timeout`,
} as const;

/** A board whose watchdog runs for 30 s unless somebody sets another time. */
async function armed(
  t: TestContext,
  takes: string,
  { most, setting = "systemd.watchdog_sec=180" }: { readonly most?: string; readonly setting?: string } = {},
): Promise<Run> {
  return await run(t, [VIRTIO], CMDLINE.replace("quiet", `quiet ${setting}`), async (root, put) => {
    await put(`${WATCHDOG}/state`, "inactive\n");
    await put(`${WATCHDOG}/timeout`, "30\n");
    if (most !== undefined) await put(`${WATCHDOG}/max_timeout`, `${most}\n`);
    spawnSync("mknod", [join(root, "dev/watchdog0"), "c", "1", "3"]);
    const script = `echo "$*" > /args\necho active > /${WATCHDOG}/state\n${takes}\necho $$ > /pid\nexec /bin/busybox sleep 600`;
    await put("bin/watchdog", `#!/bin/sh\n${script}\n`, 0o755);
  });
}

test(
  "[OTA-80] the watchdog gets the time of the command line before the root is looked for, and its pacemaker is gone",
  { skip },
  async (t) => {
    const { opened, said, text } = await armed(t, DRIVERS.obeys);
    t.equal(opened, "/dev/vda2", "the boot goes on");
    t.equal(await text("args"), "-F -T 180 -t 180 /dev/watchdog0\n");
    t.equal(said, "<4>sallyport-initrd: the watchdog resets this machine after 180 s\n");
    const pid = (await text("pid")).trim();
    t.throws(() => process.kill(Number(pid), 0), { code: "ESRCH" }, "nothing feeds it");
    const slow = await armed(t, DRIVERS.obeys, { setting: "systemd.watchdog_sec=600" });
    t.match(slow.said, "after 600 s\n");
  },
);

test("[OTA-80] [OTA-81] what the driver made of the time is read back, and said when it is another one", { skip }, async (t) => {
  const bounded = await armed(t, DRIVERS.obeys, { most: "120" });
  t.equal(await bounded.text("args"), "-F -T 120 -t 120 /dev/watchdog0\n", "no more than the driver takes");
  t.equal(bounded.said, "<2>sallyport-initrd: the watchdog resets this machine after 120 s instead of 180\n");
  t.match((await armed(t, DRIVERS.obeys, { most: "0" })).said, "after 180 s\n", "0 stands for no bound");
  t.match(
    (await armed(t, DRIVERS["has a bound that it does not tell"])).said,
    "<2>sallyport-initrd: the watchdog resets this machine after 30 s instead of 180\n",
  );
  t.match((await armed(t, DRIVERS.rounds)).said, "after 176 s instead of 180\n");
  t.match((await armed(t, DRIVERS.obeys, { setting: "" })).said, "after 60 s instead of (not set)\n");
  t.match((await armed(t, DRIVERS.obeys, { setting: "systemd.watchdog_sec=3min" })).said, "after 60 s instead of 3min\n");
  for (const takes of ["exit 1", "echo inactive > /sys/class/watchdog/watchdog0/state; exit 1"]) {
    const { opened, said } = await armed(t, takes);
    t.equal(opened, "/dev/vda2", "a watchdog that fails does not stop the boot");
    t.match(said, "after 30 s instead of 180\n");
  }
});

test("[OTA-80] a board without a watchdog boots without a word about it", { skip }, async (t) => {
  const { opened, said } = await run(t, [VIRTIO], CMDLINE.replace("quiet", "systemd.watchdog_sec=180"));
  t.same([opened, said], ["/dev/vda2", ""]);
});

test("[OTA-80] the initrd has the program that sets the time, and the command line names one", { skip }, async (t) => {
  const { tools } = await debianBase(() => undefined);
  const { stderr } = spawnSync(join(tools, "usr/bin/busybox"), ["watchdog", "--help"], { encoding: "utf8" });
  for (const option of ["-t N", "-T N", "-F"]) t.match(stderr, option, "busybox of the initrd");
  t.match(await readFile(join(IMAGE_FOLDER, "initrd.ts"), "utf8"), /APPLETS = \[[^\]]*"watchdog"/u);
});
