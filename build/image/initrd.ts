// The initrd: a static shell, dmsetup and the modules of disks. No udev, no shell for anybody: it finds the root and goes there.
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import type { Base } from "./base.ts";
import { cpio, type Entry } from "./cpio.ts";
import { INITRD_MODULES } from "./packages.ts";
import { IMAGE_FOLDER } from "./paths.ts";
import { run } from "./run.ts";

const FOLDERS = ["bin", "dev", "lib", "lib64", "modules", "proc", "root", "sys"];
const APPLETS = ["sh", "basename", "cat", "dirname", "grep", "insmod", "mount", "sleep", "switch_root"];

export async function makeInitrd({ tools, kernel }: Base): Promise<Buffer> {
  const order = await modulesInOrder(tools, kernel);
  const entries: Entry[] = FOLDERS.map((path) => ({ path, type: "directory" }));
  entries.push({ path: "dev/console", type: "device", major: 5, minor: 1 });
  const file = async (path: string, from: string, mode = 0o755): Promise<void> => {
    entries.push({ path, type: "file", mode, bytes: await readFile(from) });
  };
  await file("init", join(IMAGE_FOLDER, "init.sh"));
  await file("bin/busybox", join(tools, "usr/bin/busybox"));
  for (const applet of APPLETS) entries.push({ path: `bin/${applet}`, type: "link", target: "busybox" });
  await file("bin/dmsetup", join(tools, "usr/sbin/dmsetup"));
  for (const [path, from] of await librariesOf(tools, "/usr/sbin/dmsetup")) await file(path, from);
  for (const module of order) {
    const text = await run("chroot", [tools, "busybox", "xz", "-dc", module], {}, "latin1");
    entries.push({ path: `modules/${nameOf(module)}`, type: "file", mode: 0o644, bytes: Buffer.from(text, "latin1") });
  }
  const list = order.map((module) => `${nameOf(module)}\n`).join("");
  entries.push({ path: "modules/order", type: "file", mode: 0o644, bytes: Buffer.from(list) });
  return zstdCompressSync(cpio(entries));
}

const nameOf = (module: string): string => basename(module).replace(/\.xz$/u, "");

/** What modprobe would load, in its order. What is built into the kernel is not named. */
async function modulesInOrder(tools: string, kernel: string): Promise<readonly string[]> {
  const found = new Set<string>();
  for (const module of INITRD_MODULES) {
    const lines = await run("chroot", [tools, "modprobe", "-S", kernel, "--show-depends", "-q", module]);
    for (const line of lines.split("\n")) {
      const [, path] = /^insmod (\S+)/u.exec(line) ?? [];
      if (path !== undefined) found.add(path);
    }
  }
  return [...found];
}

/** Where the loader of the program looks for them, and where they lie now. */
async function librariesOf(tools: string, program: string): Promise<ReadonlyMap<string, string>> {
  const lines = (await run("chroot", [tools, "/usr/bin/ldd", program])).split("\n");
  const paths = lines.map((line) => /(?:=>\s*)?(\/\S+) \(0x/u.exec(line)?.[1]).filter((path) => path !== undefined);
  return new Map(
    paths.map((path) => [
      path.startsWith("/lib64/") ? path.slice(1) : `lib/${basename(path)}`,
      join(tools, "usr", path.replace(/^\/usr/u, "")),
    ]),
  );
}
