// State files on FAT, such as the EFI system partition. fat-rename.ts says what this relies on,
// including fsck.vfat before the mount.
import type { DurableFiles } from "../../ports.ts";
import { linuxFiles } from "./durable.ts";
import { renameOnFat } from "./fat-rename.ts";
import { type FileOps, linuxOps } from "./ops.ts";

export interface FatOptions {
  /**
   * Whether a record outside this file system says that the file was there, complete. Without it,
   * no file counts as one that was.
   */
  readonly wasThere?: (name: string) => Promise<boolean>;
  readonly ops?: FileOps;
}

/**
 * As {@link linuxFiles}, for files that are written once: after any power cut, a file that was put
 * is complete, and a file with bytes is never put again. A file without bytes is one whose only
 * write was cut, and counts as missing. If it was there before, it was damaged, and is returned as
 * it is.
 * @throws as {@link linuxFiles}; and what `wasThere` throws.
 */
export async function fatFiles(directory: string, { wasThere, ops = linuxOps }: FatOptions = {}): Promise<DurableFiles> {
  const files = await linuxFiles(directory, { ...ops, rename: (from, to) => renameOnFat(ops, from, to) });
  return {
    ...files,
    get: async (name, bytesMax, access) => {
      const bytes = await files.get(name, bytesMax, access);
      const isCut = bytes?.byteLength === 0 && (await wasThere?.(name)) !== true;
      return isCut ? undefined : bytes;
    },
  };
}
