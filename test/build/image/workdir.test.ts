// Working directories: the next run removes those of killed runs, and leaves those of others.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { test } from "tap";
import { makeWorkDirectory } from "../../../build/image/workdir.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

/** The kernel reports it as `(a) S 1 (b)`. */
const ODD_NAME = "a) S 1 (b";

/** A process with an odd name that keeps running. */
async function runs(t: Test): Promise<{ readonly pid: number | undefined; readonly start: string }> {
  const program = join(await temporaryDirectory(t), ODD_NAME);
  await copyFile("/usr/bin/sleep", program);
  const child = spawn(program, ["600"]);
  t.teardown(() => void child.kill("SIGKILL"));
  await once(child, "spawn");
  const text = await readFile(`/proc/${child.pid}/stat`, "utf8");
  t.ok(text.includes(`(${ODD_NAME})`), "control: the kernel reports the odd name");
  return { pid: child.pid, start: text.replace(`(${ODD_NAME})`, "name").split(" ")[21] ?? "" };
}

interface Test {
  ok(value: unknown, message: string): unknown;
  teardown(undo: () => Promise<void> | void): void;
}

test("a run removes what a killed run left, reports other runs, and removes its own directory", async (t) => {
  const parent = await temporaryDirectory(t);
  const dead = spawn("true");
  await once(dead, "exit");
  const { pid, start } = await runs(t);
  const other = `.work-${pid}-${start}-abcdef`;
  const leftOver = [
    `.work-${dead.pid}-${start}-abcdef`,
    `.work-${pid}-${Number(start) + 1}-abcdef`, // whose number went to another process
    `.work-${process.pid}-1-abcdef`, // and to this one
  ];
  const stay = [other, ".work-precious", "disk.img", `base-${dead.pid}-${start}-abcdef`];
  for (const name of [...leftOver, ...stay]) await mkdir(join(parent, name, "inside"), { recursive: true });
  {
    await using mine = await makeWorkDirectory(parent, ".work-");
    t.same(mine.others, [pid]);
    t.match(mine.path, `${parent}/.work-${process.pid}-`);
    t.same((await readdir(parent)).sort(), [...stay, basename(mine.path)].sort());
  }
  t.same((await readdir(parent)).sort(), [...stay].sort());
});

test("one process may have several directories", async (t) => {
  const parent = await temporaryDirectory(t);
  await using one = await makeWorkDirectory(parent, ".work-");
  await using two = await makeWorkDirectory(parent, ".work-");
  t.same(two.others, []);
  t.same((await readdir(parent)).sort(), [basename(one.path), basename(two.path)].sort());
});
