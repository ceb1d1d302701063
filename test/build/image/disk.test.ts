// The disk file, checked by its bytes.
import { open, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { debianBase } from "../../../build/image/base.ts";
import { makeDisk } from "../../../build/image/disk.ts";
import { layoutOf } from "../../../build/image/layout.ts";
import { run } from "../../../build/image/run.ts";
import { needsBase } from "../../lab/runner/debian-base.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const skip = await needsBase();
const MEBIBYTE = 1_048_576;
const SIZES = { esp: 64, slot: 1, data: 32 };

async function disk(t: { comment(line: string): void; teardown(undo: () => Promise<void>): void }) {
  const work = await temporaryDirectory(t);
  const part = async (name: string): Promise<string> => {
    await writeFile(join(work, name), name);
    return join(work, name);
  };
  const base = await debianBase((line) => t.comment(line));
  const parts = { base, kernel: await part("kernel"), root: await part("root") };
  const file = join(work, "disk.img");
  await makeDisk(file, work, parts, SIZES);
  return { work, parts, file };
}

async function bytesAt(file: string, from: number, bytes: number): Promise<Buffer> {
  await using disk = await open(file);
  const { buffer } = await disk.read(Buffer.alloc(bytes), 0, bytes, from);
  return buffer;
}

test("partitions are where the layout places them, with their content", { skip }, async (t) => {
  const { file } = await disk(t);
  const { partitions, bytes } = layoutOf(SIZES);
  t.equal((await stat(file)).size, bytes);
  const rows = (await run("sfdisk", ["--dump", file])).matchAll(/start= *(\d+), size= *(\d+),.* name="([^"]+)"/gu);
  const found = [...rows].map(([, start, size, name]) => {
    const from = Number(start) * 512;
    return [name, { from, to: from + Number(size) * 512 }];
  });
  t.same(Object.fromEntries(found), partitions);
  t.equal((await bytesAt(file, partitions["root-a"].from, 4)).toString(), "root");
  t.same(await bytesAt(file, partitions["root-b"].from, MEBIBYTE), Buffer.alloc(MEBIBYTE), "slot b is empty");
  const esp = `${file}@@${partitions.esp.from}`;
  t.equal(await run("mtype", ["-i", esp, "::EFI/Linux/gw_1_a.efi"]), "kernel");
  const listed = (await run("mdir", ["-b", "-/", "-i", esp, "::"])).trim().split("\n").toSorted();
  t.same(
    listed.filter((path) => !path.endsWith("/")),
    [
      "::/EFI/BOOT/BOOTX64.EFI",
      "::/EFI/Linux/gw_1_a.efi",
      "::/EFI/Linux/gw_1_a.efi.extra.d/slot.addon.efi",
      "::/EFI/sallyport/slot-a.addon.efi",
      "::/EFI/sallyport/slot-b.addon.efi",
      "::/loader/loader.conf",
    ],
  );
});

test("the agent cannot fill the data partition: a tenth of it is reserved for root", { skip }, async (t) => {
  const { file } = await disk(t);
  const superblock = await bytesAt(file, layoutOf(SIZES).partitions.data.from + 1024, 1024);
  // Linux: Documentation/filesystems/ext4/super.rst
  t.equal(superblock.readUInt16LE(0x38), 0xef53, "ext4's magic number");
  const [blocks, reserved] = [superblock.readUInt32LE(4), superblock.readUInt32LE(8)];
  t.ok(reserved >= Math.floor(blocks / 10), `${reserved} of ${blocks}`);
  t.equal(superblock.readUInt16LE(0x50), 0, "reserved for user 0");
});

test("parts that do not fit are refused before anything is made", { skip }, async (t) => {
  const { work, parts } = await disk(t);
  const refused = (message: RegExp) =>
    t.rejects(makeDisk(join(work, "other.img"), work, parts, SIZES), { code: "slot.too-small", message });
  await truncate(parts.root, MEBIBYTE + 1);
  await refused(/choose a larger --slot-mib/u);
  await truncate(parts.kernel, 22 * MEBIBYTE);
  await refused(/fit 3 kernels of \d+ bytes into an ESP of 64 MiB: choose a larger --esp-mib/u);
  await t.rejects(stat(join(work, "other.img")), { code: "ENOENT" });
});
