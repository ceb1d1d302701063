// The folder of a killed process is removed with the same user's next one.
import { spawnSync } from "node:child_process";
import { chmod, readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { needs } from "../runner/needs.ts";
import { PROJECT } from "../runner/sources.ts";
import { temporaryDirectory } from "../runner/temporary.ts";

const SOME_USER = 65_534;

/** A process that makes a folder and is killed. */
function makeAndDie(directory: string, uid: number): string {
  const program = `import { ownFolder } from "${join(PROJECT, "test/lab/gateway/own-folder.ts")}"; await ownFolder("gw"); process.kill(process.pid, "SIGKILL");`;
  const words = ["-i", "PATH=/usr/bin:/bin", `TMPDIR=${directory}`, process.execPath, "--input-type=module", "-e", program];
  return spawnSync("/usr/bin/env", words, { uid, gid: uid, encoding: "utf8" }).stderr;
}

test(
  "the folder of a killed process is removed by the same user's next one, and by no other user's",
  { skip: needs("root") },
  async (t) => {
    const directory = await temporaryDirectory(t);
    await chmod(directory, 0o1777);
    const left = async (): Promise<readonly string[]> =>
      (await readdir(directory)).filter((name) => name.startsWith("gw-")).sort();
    t.equal(makeAndDie(directory, 0), "");
    const [ours] = await left();
    t.equal(makeAndDie(directory, SOME_USER), "", "another user is not affected");
    const [still, theirs] = await left();
    t.equal(still, ours);
    t.equal(makeAndDie(directory, 0), "");
    const after = await left();
    t.equal(after.length, 2);
    t.notOk(after.includes(ours ?? ""));
    t.ok(after.includes(theirs ?? ""));
  },
);
