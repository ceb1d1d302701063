// State files on FAT, such as the EFI system partition. vfat_rename (Linux, fs/fat/namei_vfat.c) adds an entry that is empty at first, gives it the file's length and
// place with the file's inode, and takes the old entry away: after the directory's fsync alone the file can be there and empty. Seen on a whole machine.
import { constants } from "node:fs";
import type { DurableFiles } from "../../ports.ts";
import { linuxFiles } from "./durable.ts";
import { type FileOps, linuxOps, SAFE } from "./ops.ts";

/**
 * As {@link linuxFiles}, for files that are written once: what is put is there, whole, after any power cut. A file without bytes is one whose writing was cut, and
 * counts as not there.
 * @throws as {@link linuxFiles}.
 */
export async function fatFiles(directory: string, ops: FileOps = linuxOps): Promise<DurableFiles> {
  const files = await linuxFiles(directory, { ...ops, rename: (from, to) => renameSynced(ops, from, to) });
  return {
    ...files,
    get: async (name, bytesMax) => {
      const bytes = await files.get(name, bytesMax);
      return bytes?.byteLength === 0 ? undefined : bytes;
    },
  };
}

/** The file's own fsync writes its length and place into the new entry; that of the directory follows. */
async function renameSynced(ops: FileOps, from: string, to: string): Promise<void> {
  const file = await ops.open(from, constants.O_RDONLY | SAFE);
  try {
    await ops.rename(from, to);
    await file.sync();
  } finally {
    await file.close();
  }
}
