// The root as one read-only image with verified blocks: squashfs, followed by the dm-verity hash
// tree (kernel: Documentation/admin-guide/device-mapper/verity.rst).
import { createHash } from "node:crypto";
import { stat, truncate } from "node:fs/promises";
import { Fault } from "../../hal/fault.ts";
import { run } from "./run.ts";

const BLOCK_BYTES = 4096;

export interface VerifiedRoot {
  /** Blocks of 4 KiB before the hash tree. */
  readonly blocks: number;
  readonly hash: string;
  readonly salt: string;
}

/**
 * Makes the image `file` from the directory `root`. The same directory and version give the same
 * bytes, so that a release shares chunks with the previous one.
 * @param level the zstd level, 1 to 22.
 */
export async function makeRoot(root: string, file: string, version: string, level: number): Promise<VerifiedRoot> {
  await run("mksquashfs", [
    root,
    file,
    ..."-noappend -no-progress -quiet -no-xattrs -comp zstd -b 131072 -mkfs-time 0 -all-time 0".split(" "),
    "-Xcompression-level",
    String(level),
  ]);
  const blocks = Math.ceil((await stat(file)).size / BLOCK_BYTES);
  await truncate(file, blocks * BLOCK_BYTES);
  const salt = createHash("sha256").update(`sallyport gateway ${version}`).digest("hex");
  const output = await run("veritysetup", [
    "format",
    file,
    file,
    `--hash-offset=${blocks * BLOCK_BYTES}`,
    `--data-blocks=${blocks}`,
    `--salt=${salt}`,
    "--uuid=00000000-0000-0000-0000-000000000000",
  ]);
  const hash = /^Root hash:\s+([0-9a-f]{64})$/mu.exec(output)?.[1];
  if (hash === undefined) throw new Fault("process.failed", "read the root hash: veritysetup did not print it");
  return { blocks, hash, salt };
}

/** @returns the parameter of the kernel's command line by which the initrd verifies the root. */
export function verityParameter({ blocks, hash, salt }: VerifiedRoot): string {
  return `sallyport.verity=${blocks}:${hash}:${salt}`;
}
