// A disk that boots straight into small programs of ours: Debian's kernel as the firmware's default
// file, and an ext4 partition with Node and the programs. It is far smaller than a gateway, so that
// power cuts of a real kernel and file system can be tried often.
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type OutputFile } from "esbuild";
import { type Base, debianBase } from "../../../../build/image/base.ts";
import { cpio } from "../../../../build/image/cpio.ts";
import { copyInto } from "../../../../build/image/files.ts";
import { shellInitrd } from "../../../../build/image/initrd.ts";
import { cacheDirectory } from "../../../../build/image/cache.ts";
import { unify } from "../../../../build/image/kernel.ts";
import { IMAGE_FOLDER } from "../../../../build/image/paths.ts";
import { run } from "../../../../build/image/run.ts";
import { makeWorkDirectory } from "../../../../build/image/workdir.ts";

const HERE = fileURLToPath(new URL(".//", import.meta.url));
const DISK = "probe.img";
const MEBIBYTE = 1024 * 1024;
const KERNEL_MIB = 64;
const ROOT_MIB = 256;
const MODULES = [
  "virtio_pci",
  "virtio_blk",
  "ext4",
  "crc32c_generic",
  "virtio_net",
  "xhci_pci",
  "usb_storage",
  "usbhid",
  "hid_generic",
  "tpm_tis",
  "i6300esb",
];
/**
 * USB as on a gateway: nothing is authorized. The watchdog's time is short, and `sysrq` is as
 * Debian's kernel has it.
 */
const COMMAND_LINE = "console=ttyS0 quiet panic=5 usbcore.authorized_default=0 i6300esb.heartbeat=5";
const APPLETS = ["sh", "cat", "chroot", "echo", "insmod", "ip", "mount", "sleep"];

/**
 * Built once for each state of its sources; gateways only read it.
 * @returns the disk.
 * @throws Fault `process.failed`.
 */
export async function probeImage(): Promise<string> {
  const base = await debianBase(() => undefined);
  const programs = await bundle();
  const directory = await cacheDirectory("probe", await keyOf(base, programs), async (made) => {
    await using work = await makeWorkDirectory(made, "work-");
    await make(join(made, DISK), work.path, base, programs);
  });
  return join(directory, DISK);
}

async function keyOf({ tools }: Base, programs: readonly OutputFile[]): Promise<string> {
  const { ino, mtimeMs } = await stat(process.execPath);
  const hash = createHash("sha256").update(`${tools} ${process.execPath} ${ino} ${mtimeMs}`);
  const recipe = ["image.ts", "init.sh"].map((name) => join(HERE, name));
  const initrd = ["cpio.ts", "initrd.ts", "kernel.ts"].map((name) => join(IMAGE_FOLDER, name));
  for (const path of [...recipe, ...initrd]) hash.update(await readFile(path));
  for (const { contents } of programs) hash.update(contents);
  return hash.digest("hex").slice(0, 16);
}

function bundle(): Promise<readonly OutputFile[]> {
  return build({
    entryPoints: ["audit", "durable", "look", "tpm", "usb"].map((name) => join(HERE, `${name}-child.ts`)),
    outdir: "/",
    outExtension: { ".js": ".mjs" },
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    logLevel: "silent",
  }).then(({ outputFiles }) => outputFiles);
}

async function make(file: string, work: string, base: Base, programs: readonly OutputFile[]): Promise<void> {
  const [kernel, root] = [join(work, "kernel.img"), join(work, "root.img")];
  await sized(kernel, KERNEL_MIB);
  await run("mkfs.vfat", ["-F", "32", kernel]);
  await run("mmd", ["-i", kernel, "::EFI", "::EFI/BOOT"]);
  await run("mcopy", ["-i", kernel, await makeKernel(base, work), "::EFI/BOOT/BOOTX64.EFI"]);
  await sized(root, ROOT_MIB);
  await run("mkfs.ext4", ["-q", "-E", "lazy_itable_init=0", "-d", await makeRoot(work, programs), root]);
  await sized(file, KERNEL_MIB + ROOT_MIB + 2);
  const table = [`size=${KERNEL_MIB}MiB, type=uefi`, `size=${ROOT_MIB}MiB, type=linux`];
  await run("sfdisk", ["--quiet", file], { input: `label: gpt\nfirst-lba: 2048\n${table.join("\n")}\n` });
  await copyInto(file, kernel, MEBIBYTE);
  await copyInto(file, root, (1 + KERNEL_MIB) * MEBIBYTE);
}

async function sized(file: string, mib: number): Promise<void> {
  await writeFile(file, "");
  await truncate(file, mib * MEBIBYTE);
}

async function makeKernel(base: Base, work: string): Promise<string> {
  const file = join(work, "kernel.efi");
  const initrd = cpio(await shellInitrd(base, { init: join(HERE, "init.sh"), applets: APPLETS, modules: MODULES }));
  await unify(base, { initrd, commandLine: COMMAND_LINE, osRelease: 'NAME="Sallyport probe"\nID=probe\n' }, file);
  return file;
}

async function makeRoot(work: string, programs: readonly OutputFile[]): Promise<string> {
  const root = join(work, "root");
  for (const folder of ["bin", "dev", "proc", "state", "sys", "tmp"]) await mkdir(join(root, folder), { recursive: true });
  await cp(process.execPath, join(root, "bin/node"), { dereference: true });
  for (const [, library = ""] of (await run("ldd", [process.execPath])).matchAll(/(\/\S+) \(0x/gu)) {
    await mkdir(join(root, dirname(library)), { recursive: true });
    await cp(library, join(root, library), { dereference: true });
  }
  for (const { path, contents } of programs) await writeFile(join(root, basename(path)), contents);
  return root;
}
