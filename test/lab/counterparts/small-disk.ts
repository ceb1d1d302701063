// A disk of a few pages in the place of a directory: it fills up, and it can be made read-only. Needs to mount.
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, rmSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../../../hal/fault.ts";

export const PAGE_BYTES = 4096;

export interface SmallDisk {
  /** Fills it up to this many free pages; a page is the least that a file with contents takes. */
  fill(freePages: number): void;
  /** Takes the filling out again. */
  empty(): void;
  setReadOnly(readOnly: boolean): void;
  unmount(): void;
}

const FILLING = "filling";

/** Mounts an empty tmpfs of `pages` over `directory`, which keeps owner and mode. What lay there is hidden until {@link SmallDisk.unmount}. */
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
