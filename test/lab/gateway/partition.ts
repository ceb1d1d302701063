// The partitions and files on the disk of a gateway that is off.
import { mkdir } from "node:fs/promises";
import * as v from "valibot";
import { Fault } from "../../../hal/fault.ts";
import { parseJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { run } from "../../../build/image/run.ts";

const TABLE_BYTES_MAX = 65_536;
const tableSchema = v.looseObject({
  partitiontable: v.looseObject({
    sectorsize: v.number(),
    partitions: v.array(v.looseObject({ name: v.optional(v.string()), start: v.number(), size: v.number() })),
  }),
});

/**
 * Copies a partition of the disk `image`, found by its name, to a file.
 * @throws Fault `file.read-failed` when there is none.
 */
export async function takePartition(image: string, name: string, file: string): Promise<void> {
  const text = await run("sfdisk", ["--json", image]);
  const { partitiontable: table } = check(tableSchema, parseJson(text, TABLE_BYTES_MAX, "partition table"), "partition table");
  const found = table.partitions.find((partition) => partition.name === name);
  if (found === undefined) throw new Fault("file.read-failed", `find the partition "${name}" in "${image}"`);
  const bytes = (sectors: number): string => `${sectors * table.sectorsize}`;
  const where = ["iflag=skip_bytes,count_bytes,fullblock", `skip=${bytes(found.start)}`, `count=${bytes(found.size)}`];
  await run("dd", [`if=${image}`, `of=${file}`, "bs=1M", "conv=sparse", ...where]);
}

/**
 * Unpacks the ext4 file system in `file` into `directory`, after its journal was replayed as at the
 * next start.
 */
export async function unpackExt4(file: string, directory: string): Promise<void> {
  await mkdir(directory, { mode: 0o700 });
  // 1: the journal had entries.
  await run("sh", ["-c", 'e2fsck -fy "$1" || [ $? = 1 ]', "sh", file]);
  await run("debugfs", ["-R", `rdump / ${directory}`, file]);
}
