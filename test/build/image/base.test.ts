// What is left of Debian on the device: all that it needs, after so much of it was left out.
import { open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { debianBase } from "../../../build/image/base.ts";
import { run } from "../../../build/image/run.ts";
import { needs } from "../../lab/needs.ts";

const ELF = Buffer.from("\x7fELF", "latin1");
/** Several at once: a link to each is asked of the device's own loader. */
const AT_ONCE = 100;

test("every program and library on the device finds what it is linked to", { skip: needs("image") }, async (t) => {
  const { device } = await debianBase((line) => t.comment(line));
  const programs = await elvesIn(device, ["usr/bin", "usr/sbin", "usr/lib/systemd", "usr/lib/udev", "usr/lib/x86_64-linux-gnu"]);
  t.ok(programs.length > 200, "control: there are programs");
  for (let at = 0; at < programs.length; at += AT_ONCE) {
    const script =
      'for program; do /lib64/ld-linux-x86-64.so.2 --list "$program" 2>&1 | sed -n "s#.*not found.*#$program: &#p"; done';
    const missing = await run("chroot", [device, "/bin/sh", "-c", script, "sh", ...programs.slice(at, at + AT_ONCE)]);
    t.equal(missing, "");
  }
});

test("every kernel module on the device finds those it needs", { skip: needs("image") }, async (t) => {
  const { device, tools, kernel } = await debianBase((line) => t.comment(line));
  const modules = join("usr/lib/modules", kernel);
  const there = new Set((await readdir(join(device, modules), { recursive: true })).filter((path) => path.endsWith(".ko")));
  t.ok(there.size > 1000, "control: there are modules");
  // as Debian has them, before any was left out (modules.dep(5))
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

async function elvesIn(root: string, folders: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const folder of folders)
    for (const entry of await readdir(join(root, folder), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      await using file = await open(path);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(ELF.length), 0, ELF.length);
      if (bytesRead === ELF.length && buffer.equals(ELF)) found.push(path.slice(root.length));
    }
  return found;
}
