// A data partition with ext4, as a gateway's image has one: directories of a board lie on it. It
// can have the error after which ext4 mounts itself read-only, also with files open for writing.
// Needs root and a loop device.
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Fault } from "../../../hal/fault.ts";

const IMAGE_MIB = 32;

export interface DataDisk {
  /** As after an input/output error (errors=remount-ro). Nothing but {@link repair} ends that. */
  breakNow(): void;
  /** Takes it off the machine, checks it, and mounts it again, once. No program may use it. */
  repair(): void;
  unmount(): void;
}

/** @param place where the image and its mount go. The directories keep their owners and modes. */
export function mountDataDisk(place: string, directories: readonly string[]): DataDisk {
  const root = join(place, "data");
  let image = join(place, "data.img");
  mkdirSync(root);
  run("dd", ["if=/dev/zero", `of=${image}`, "bs=1M", `count=${IMAGE_MIB}`, "status=none"]);
  run("mkfs.ext4", ["-q", "-F", "-e", "remount-ro", image]);
  const mount = (): void => {
    run("mount", ["-o", "loop", image, root]);
    for (const directory of directories) run("mount", ["--bind", join(root, basename(directory)), directory]);
  };
  const unmount = (...options: readonly string[]): void => {
    for (const directory of directories) run("umount", [...options, directory]);
    run("umount", [...options, root]);
  };
  const modes = directories.map((directory) => statSync(directory));
  run("mount", ["-o", "loop", image, root]);
  for (const [at, directory] of directories.entries()) {
    const made = join(root, basename(directory));
    mkdirSync(made);
    chownSync(made, modes[at]?.uid ?? 0, modes[at]?.gid ?? 0);
    chmodSync(made, (modes[at]?.mode ?? 0o700) & 0o7777);
  }
  run("umount", [root]);
  mount();
  return {
    breakNow() {
      const device = run("findmnt", ["--noheadings", "--output", "SOURCE", root]).trim();
      writeFileSync(`/sys/fs/ext4/${basename(device)}/trigger_fs_error`, "1");
    },
    repair() {
      unmount();
      // Another program's mount namespace may still hold what is mounted from the first image.
      const copy = join(place, "data-repaired.img");
      run("cp", [image, copy]);
      image = copy;
      const { status } = spawnSync("e2fsck", ["-f", "-y", image]);
      if (status === null || status > 1) throw new Fault("process.failed", `e2fsck ended with ${status}`);
      mount();
    },
    unmount: () => unmount("--lazy"),
  };
}

function run(program: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
  if (status !== 0) throw new Fault("process.failed", `${program} ${args.join(" ")}: ${stderr}`);
  return stdout;
}
