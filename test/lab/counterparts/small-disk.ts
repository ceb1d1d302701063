// A disk of a few pages in the place of a directory, which can be filled and made read-only. It is
// mounted, which needs root.
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, rmSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../../../hal/fault.ts";

export const PAGE_BYTES = 4096;

export interface SmallDisk {
  /**
   * Fills the disk up to this many free pages. A page is the least that a file with content takes.
   */
  fill(freePages: number): void;
  /** Removes the filling. */
  empty(): void;
  setReadOnly(readOnly: boolean): void;
  unmount(): void;
}

const FILLING = "filling";

/**
 * Mounts an empty tmpfs of `pages` over `directory`, which keeps its owner and mode. The old
 * content is hidden until {@link SmallDisk.unmount}.
 */
export function mountSmallDisk(directory: string, pages: number): SmallDisk {
  const { uid, gid, mode } = statSync(directory);
  mount(["-t", "tmpfs", "-o", `size=${pages * PAGE_BYTES}`, "small-disk", directory]);
  chownSync(directory, uid, gid);
  chmodSync(directory, mode & 0o7777);
  const filling = join(directory, FILLING);
  const empty = (): void => rmSync(filling, { force: true });
  return {
    fill(freePages) {
      empty();
      const { bavail } = statfsSync(directory);
      if (bavail > freePages) writeFileSync(filling, Buffer.alloc((bavail - freePages) * PAGE_BYTES), { mode: 0o644 });
    },
    empty,
    setReadOnly: (readOnly) => mount(["-o", `remount,${readOnly ? "ro" : "rw"}`, directory]),
    unmount: () => run("umount", ["--lazy", directory]),
  };
}

function mount(args: readonly string[]): void {
  run("mount", args);
}

function run(program: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
  if (status !== 0) throw new Fault("process.failed", `${program} ${args.join(" ")}: ${stderr}`);
}
