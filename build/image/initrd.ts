// The initrd: a static shell, dmsetup and the modules of disks. It has no udev and gives nobody a
// shell: it finds the root and switches to it.
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import type { Base } from "./base.ts";
import { cpio, type CpioEntry } from "./cpio.ts";
import { INITRD_MODULES } from "./packages.ts";
import { IMAGE_FOLDER } from "./paths.ts";
import { run } from "./run.ts";

/** The content of an initrd with a static shell. */
export interface ShellInitrd {
  /** The file that becomes `/init`. */
  readonly init: string;
  /** Programs of busybox. */
  readonly applets: readonly string[];
  /**
   * Module names of modprobe. `/init` finds the modules and their dependencies in `/modules`, and
   * their order in `/modules/order`.
   */
  readonly modules: readonly string[];
}

const FOLDERS = ["bin", "dev", "lib", "lib64", "modules", "proc", "root", "sys"];

/** @throws Fault `process.failed` when a module does not exist. */
export async function shellInitrd({ tools, kernel }: Base, { init, applets, modules }: ShellInitrd): Promise<CpioEntry[]> {
  const order = await modulesInOrder(tools, kernel, modules);
  const entries: CpioEntry[] = FOLDERS.map((path) => ({ path, type: "directory" }));
  entries.push(
    { path: "dev/console", type: "device", major: 5, minor: 1 },
    { path: "init", type: "file", mode: 0o755, bytes: await readFile(init) },
    { path: "bin/busybox", type: "file", mode: 0o755, bytes: await readFile(join(tools, "usr/bin/busybox")) },
  );
  for (const applet of applets) entries.push({ path: `bin/${applet}`, type: "link", target: "busybox" });
  for (const module of order) {
    const text = await run("chroot", [tools, "busybox", "xz", "-dc", module], {}, "latin1");
    entries.push({ path: `modules/${nameOf(module)}`, type: "file", mode: 0o644, bytes: Buffer.from(text, "latin1") });
  }
  const list = order.map((module) => `${nameOf(module)}\n`).join("");
  entries.push({ path: "modules/order", type: "file", mode: 0o644, bytes: Buffer.from(list) });
  return entries;
}

const APPLETS = ["sh", "basename", "cat", "dirname", "grep", "insmod", "mount", "sleep", "switch_root", "watchdog"];

/** Makes the initrd of a gateway, which opens its verified root. */
export async function makeInitrd(base: Base): Promise<Buffer> {
  const entries = await shellInitrd(base, {
    init: join(IMAGE_FOLDER, "init.sh"),
    applets: APPLETS,
    modules: INITRD_MODULES,
  });
  const { tools } = base;
  const programs = new Map([
    ["bin/dmsetup", join(tools, "usr/sbin/dmsetup")],
    ...(await librariesOf(tools, "/usr/sbin/dmsetup")),
  ]);
  for (const [path, from] of programs) entries.push({ path, type: "file", mode: 0o755, bytes: await readFile(from) });
  return zstdCompressSync(cpio(entries));
}

const nameOf = (module: string): string => basename(module).replace(/\.xz$/u, "");

/** @returns the files that modprobe would load, in its order, without built-in modules. */
async function modulesInOrder(tools: string, kernel: string, modules: readonly string[]): Promise<readonly string[]> {
  const found = new Set<string>();
  for (const module of modules) {
    const lines = await run("chroot", [tools, "modprobe", "-S", kernel, "--show-depends", "-q", module]);
    for (const line of lines.split("\n")) {
      const [, path] = /^insmod (\S+)/u.exec(line) ?? [];
      if (path !== undefined) found.add(path);
    }
  }
  return [...found];
}

/**
 * @returns the paths where the program's loader looks for its libraries, and where they are now.
 */
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
