// The disk as one file: what is told from its bytes alone.
import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { makeDisk } from "../../../build/image/disk.ts";
import { needs } from "../../lab/needs.ts";
import { temporaryDirectory } from "../../lab/temporary.ts";

const MEBIBYTE = 1_048_576;
const SIZES = { esp: 64, slot: 1, data: 32 };

test("the agent can't fill the data partition: a tenth of it is the warden's alone", { skip: needs("image") }, async (t) => {
  const work = await temporaryDirectory(t);
  const part = async (name: string): Promise<string> => {
    await writeFile(join(work, name), name);
    return join(work, name);
  };
  const addons = { a: await part("a"), b: await part("b") };
  const parts = { bootLoader: await part("loader"), kernel: await part("kernel"), addons, root: await part("root") };
  await makeDisk(join(work, "disk.img"), work, parts, SIZES);
  await using disk = await open(join(work, "disk.img"));
  const superblock = Buffer.alloc(1024);
  await disk.read(superblock, 0, 1024, (1 + SIZES.esp + 2 * SIZES.slot) * MEBIBYTE + 1024);
  // Linux: Documentation/filesystems/ext4/super.rst
  t.equal(superblock.readUInt16LE(0x38), 0xef53, "ext4's magic number");
  const [blocks, kept] = [superblock.readUInt32LE(4), superblock.readUInt32LE(8)];
  t.ok(kept >= Math.floor(blocks / 10), `${kept} of ${blocks}`);
  t.equal(superblock.readUInt16LE(0x50), 0, "kept for user 0");
});
