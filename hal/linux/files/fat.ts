// State files on FAT, such as the EFI system partition: see fat-rename.ts for what is relied on, fsck.vfat before the mount included.
import type { DurableFiles } from "../../ports.ts";
import { linuxFiles } from "./durable.ts";
import { renameOnFat } from "./fat-rename.ts";
import { type FileOps, linuxOps } from "./ops.ts";

export interface FatOptions {
  /** Whether something off this file system knows that the file was there, whole. Left out, nothing does. */
  readonly wasThere?: (name: string) => Promise<boolean>;
  readonly ops?: FileOps;
}

/**
 * As {@link linuxFiles}, for files that are written once: what is put is there, whole, after any power cut, and a file that has bytes is not put again. A file without
 * bytes is one whose only writing was cut, and counts as not there; unless it was there before: then it was damaged, and is given as it is.
 * @throws as {@link linuxFiles}; what `wasThere` throws.
 */
export async function fatFiles(directory: string, { wasThere, ops = linuxOps }: FatOptions = {}): Promise<DurableFiles> {
  const files = await linuxFiles(directory, { ...ops, rename: (from, to) => renameOnFat(ops, from, to) });
  return {
    ...files,
    get: async (name, bytesMax) => {
      const bytes = await files.get(name, bytesMax);
      const isCut = bytes?.byteLength === 0 && (await wasThere?.(name)) !== true;
      return isCut ? undefined : bytes;
    },
  };
}
