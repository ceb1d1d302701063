// Renaming on FAT, such as the EFI system partition, which promises nothing about it.
//
// vfat_rename (Linux, fs/fat/namei_vfat.c) makes three changes in memory: it adds a directory entry
// that is empty at first, writes the file's first cluster and length into it together with the
// file's inode, and removes the old entry. They reach the disk in any order. So after a rename the
// file is synced first (fat_write_inode: its inode goes into the new entry), then the directory
// (fat_file_fsync: its blocks, the allocation table, a flush of the device). Seen on a whole
// machine: after a sync of the directory alone, the file can be there and empty. If the power is
// cut before both syncs, the file may be there under both names, which are then one chain of
// clusters; or it may be empty, or missing. Hence:
//   - Nothing is renamed over a file that has bytes: both names may be one file, whose clusters
//     FAT would free twice.
//   - A file without bytes counts as missing.
//   - fsck.vfat runs before each mount (fstab, pass 1). Of two names with one chain it empties the
//     one that comes second in the directory, and it frees what else such a cut left behind.
//     Without it, removing one of the names would free the clusters of the other.
import { constants } from "node:fs";
import { Fault } from "../../fault.ts";
import { errnoOf } from "./faults.ts";
import { type FileOps, SAFE } from "./ops.ts";
import { checkTrustedFile } from "./trust.ts";

/**
 * The bytes are on the disk before the name, and the file's length and first cluster are in its new
 * entry. The caller must sync the directory afterwards.
 * @throws Fault `file.write-failed` where `to` has bytes; `file.not-regular`,
 *   `file.untrusted-owner`; Node's errors.
 */
export async function renameOnFat(ops: FileOps, from: string, to: string): Promise<void> {
  if (await hasBytes(ops, to))
    throw new Fault("file.write-failed", `rename "${from}" to "${to}": the target has bytes, and on FAT it is not replaced`);
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
