// Folders of runs that were killed go with the next run; those of runs that go on stay.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { workFolder } from "../../../build/image/work.ts";
import { temporaryDirectory } from "../../lab/temporary.ts";

test("a run removes what a killed one left, tells who else is at work, and takes its own away", async (t) => {
  const parent = await temporaryDirectory(t);
  const dead = spawn("true");
  await once(dead, "exit");
  const other = spawn("sleep", ["600"]);
  t.teardown(() => other.kill("SIGKILL"));
  const names = { dead: `.work-${dead.pid}-abcdef`, other: `.work-${other.pid}-abcdef` };
  for (const name of [names.dead, names.other, ".work-precious", "disk.img", `base-${dead.pid}-abcdef`])
    await mkdir(join(parent, name, "inside"), { recursive: true });
  {
    await using mine = await workFolder(parent, ".work-");
    t.same(mine.others, [other.pid]);
    t.notOk((await readdir(parent)).includes(names.dead));
    t.match(mine.path, `${parent}/.work-${process.pid}-`);
  }
  t.same((await readdir(parent)).sort(), [names.other, ".work-precious", `base-${dead.pid}-abcdef`, "disk.img"].sort());
});
