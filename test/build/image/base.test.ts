// Debian on the device is self-contained after so much of it was removed.
import { lstat, open, readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { test } from "tap";
import { debianBase } from "../../../build/image/base.ts";
import { INITRD_MODULES, LEFT_OUT, MODULES_KEPT, MODULES_LEFT_OUT, PATHS_LEFT_OUT } from "../../../build/image/packages.ts";
import { run } from "../../../build/image/run.ts";
import { needsBase } from "../../lab/runner/debian-base.ts";

const skip = await needsBase();

const ELF = Buffer.from("\x7fELF", "latin1");
const SCRIPT = Buffer.from("#!", "latin1");
/** The longest interpreter line that the kernel reads (execve(2)). */
const FIRST_LINE_BYTES_MAX = 256;
/** How many programs are checked at once by the device's own loader. */
const AT_ONCE = 100;

test("every program and library on the device finds its libraries", { skip }, async (t) => {
  const { device } = await debianBase((line) => t.comment(line));
  const folders = ["usr/bin", "usr/sbin", "usr/lib/systemd", "usr/lib/udev", "usr/lib/x86_64-linux-gnu"];
  const programs = (await filesOf(device, folders, ELF)).map(({ path }) => path);
  t.ok(programs.length > 200, "control: there are programs");
  for (let at = 0; at < programs.length; at += AT_ONCE) {
    const script =
      'for program; do /lib64/ld-linux-x86-64.so.2 --list "$program" 2>&1 | sed -n "s#.*not found.*#$program: &#p"; done';
    const missing = await run("chroot", [device, "/bin/sh", "-c", script, "sh", ...programs.slice(at, at + AT_ONCE)]);
    t.equal(missing, "");
  }
});

test("every kernel module on the device finds its dependencies", { skip }, async (t) => {
  const { device, tools, kernel } = await debianBase((line) => t.comment(line));
  const modules = join("usr/lib/modules", kernel);
  const there = new Set((await readdir(join(device, modules), { recursive: true })).filter((path) => path.endsWith(".ko")));
  t.ok(there.size > 1000, "control: there are modules");
  // Debian's list, from before any module was removed (modules.dep(5)).
  const needed = await readFile(join(tools, modules, "modules.dep"), "utf8");
  const missing = needed
    .replaceAll(".ko.xz", ".ko")
    .split("\n")
    .flatMap((line) => {
      const [module = "", others = ""] = line.split(":");
      return there.has(module) ? others.split(" ").filter((other) => other !== "" && !there.has(other)) : [];
    });
  t.same(missing, []);
});

test("every script on the device finds its interpreter", { skip }, async (t) => {
  const { device } = await debianBase((line) => t.comment(line));
  const scripts = await filesOf(device, ["usr", "etc"], SCRIPT);
  t.ok(scripts.length > 5, "control: there are scripts");
  const there = new Map<string, boolean>();
  for (const { path, begins } of scripts) {
    const [program = "", argument = ""] = (begins.slice(SCRIPT.length).split("\n")[0] ?? "").trim().split(/\s+/u);
    for (const name of program.endsWith("/env") ? [program, argument] : [program]) {
      if (!there.has(name)) there.set(name, await isProgram(device, name));
      t.ok(there.get(name), `${path} needs ${name}`);
    }
  }
});

test("every name in the lists of removed and kept files exists in Debian", { skip }, async (t) => {
  const { device, tools, kernel } = await debianBase((line) => t.comment(line));
  const installed = await run("chroot", [tools, "dpkg-query", "-W", "-f", "${Package}\n"]);
  t.same(
    LEFT_OUT.filter((name) => !installed.split("\n").includes(name)),
    [],
    "packages",
  );
  t.same(await missingIn(tools, PATHS_LEFT_OUT), [], "paths");
  const modules = join("usr/lib/modules", kernel);
  t.same(await missingIn(join(tools, modules, "kernel"), MODULES_LEFT_OUT), [], "kernel modules");
  const nameOf = (path: string): string =>
    basename(path)
      .replace(/\.ko(?:\.xz)?$/u, "")
      .replaceAll("-", "_");
  const loadable = (await readFile(join(tools, modules, "modules.dep"), "utf8"))
    .split("\n")
    .map((line) => line.split(":", 1)[0] ?? "");
  const under = loadable.filter((path) => MODULES_LEFT_OUT.some((folder) => path.startsWith(`kernel/${folder}`))).map(nameOf);
  t.same(
    MODULES_KEPT.filter((name) => !under.includes(name.replaceAll("-", "_"))),
    [],
    "each kept module is in a removed directory",
  );
  const builtin = (await readFile(join(tools, modules, "modules.builtin"), "utf8")).split("\n");
  const known = new Set([...loadable, ...builtin].map(nameOf));
  t.same(
    INITRD_MODULES.filter((name) => !known.has(name)),
    [],
    "the initrd's",
  );
  const there = new Set((await readdir(join(device, modules), { recursive: true })).map(nameOf));
  t.same(
    MODULES_KEPT.filter((name) => !there.has(name.replaceAll("-", "_"))),
    [],
    "and they are on the device",
  );
});

test("the list of packages names exactly those with a file on the device", { skip }, async (t) => {
  const { device } = await debianBase((line) => t.comment(line));
  const listed = (await readFile(join(device, "usr/share/sallyport/packages.txt"), "utf8")).trimEnd().split("\n");
  const names = listed.map((line) => line.split(" ", 1)[0] ?? "");
  for (const name of ["libc6", "tpm2-openssl", "systemd", "busybox-static", "systemd-boot-efi"]) t.ok(names.includes(name), name);
  for (const name of ["perl-base", "adduser", "netbase", "gcc-14-base", "python3-cffi-backend"])
    t.notOk(names.includes(name), name);
});

/** Files below `root` that begin with these bytes. */
async function filesOf(root: string, folders: readonly string[], start: Buffer) {
  const found: { readonly path: string; readonly begins: string }[] = [];
  for (const folder of folders)
    for (const entry of await readdir(join(root, folder), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      await using file = await open(path);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(FIRST_LINE_BYTES_MAX), 0, FIRST_LINE_BYTES_MAX);
      if (!buffer.subarray(0, start.length).equals(start)) continue;
      found.push({ path: path.slice(root.length), begins: buffer.toString("latin1", 0, bytesRead) });
    }
  return found;
}

/** As the device's own shell resolves it, through links. */
async function isProgram(device: string, name: string): Promise<boolean> {
  const found = await run("chroot", [device, "/bin/sh", "-c", 'command -v "$1" || :', "sh", name]);
  return found !== "";
}

async function missingIn(root: string, paths: readonly string[]): Promise<readonly string[]> {
  const there = await Promise.all(
    paths.map((path) =>
      lstat(join(root, path)).then(
        () => true,
        () => false,
      ),
    ),
  );
  return paths.filter((_, index) => there[index] !== true);
}
