// Renaming on FAT, such as the EFI system partition, which promises nothing.
//
// vfat_rename (Linux, fs/fat/namei_vfat.c) adds a directory entry that is empty at first, gives it the file's first cluster and length with the file's inode, and takes
// the old entry away: three changes in memory, written back in any order. So after a rename the file is synced first (fat_write_inode: its inode goes into the new
// entry), then the directory (fat_file_fsync: its blocks, the allocation table, a flush of the device). Seen on a whole machine: after the directory's alone the file
// can be there and empty. Cut before both, it may be there under both names, which are one chain of clusters, empty, or not at all. Hence
//   - nothing is renamed over a file that has bytes: both names may be one file, whose clusters FAT would free twice;
//   - files without bytes count as not there;
//   - fsck.vfat comes before each mount (fstab, pass 1): of two names with one chain it empties the one that stands second in the directory, and frees what else such a
//     cut left behind. Without it, to remove one of the names would free the clusters of the other.
import { constants } from "node:fs";
import { Fault } from "../../fault.ts";
import { errnoOf } from "./faults.ts";
import { type FileOps, SAFE } from "./ops.ts";
import { checkTrustedFile } from "./trust.ts";

/**
 * The bytes are on the device before the name, and the file's length and place are in its new entry; a sync of the directory is to follow.
 * @throws Fault `file.write-failed` where `to` has bytes; `file.not-regular`, `file.untrusted-owner`; Node's errors.
 */
export async function renameOnFat(ops: FileOps, from: string, to: string): Promise<void> {
  if (await hasBytes(ops, to))
    throw new Fault("file.write-failed", `rename "${from}" to "${to}": that is there and has bytes, on FAT it is not replaced`);
  const file = await ops.open(from, constants.O_RDONLY | SAFE);
  try {
    await file.sync();
    await ops.rename(from, to);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** @throws Fault `file.not-regular`, `file.untrusted-owner`; Node's errors. */
export async function hasBytes(ops: FileOps, path: string): Promise<boolean> {
  try {
    const file = await ops.open(path, constants.O_RDONLY | SAFE);
    try {
      const facts = await file.stat();
      checkTrustedFile(facts, path);
      return facts.size > 0;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}
