import { chmodSync, mkdirSync, readFileSync, readlinkSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { test } from "tap";
import { lockState } from "../../../hal/linux/lock.ts";
import { needs } from "../../lab/runner/needs.ts";
import { type RunningProgram, startProgram } from "../../lab/runner/process.ts";

const CHILD = fileURLToPath(new URL("../../lab/runner/state-child.ts", import.meta.url));

function holder(directory: string): RunningProgram {
  return startProgram({ name: "holder", command: process.execPath, args: [CHILD, "hold", directory] });
}

test(
  "[STA-3] a second process is refused with the owner's pid, and gets the lock once the owner is killed",
  { skip: needs("flock") },
  async (t) => {
    const directory = t.testdir();
    const owner = holder(directory);
    t.teardown(() => owner.stop("SIGKILL"));
    const pid = await owner.line(/^\d+$/);
    await t.rejects(lockState(directory), {
      code: "lock.held",
      message: `take the state directory "${directory}": held by pid ${pid}`,
    });
    await owner.stop("SIGKILL");
    const lock = await lockState(directory);
    t.equal(readFileSync(join(directory, ".lock"), "latin1"), `${process.pid}\n`, "the dead owner's pid is replaced");
    await lock.release();
  },
);

test("[STA-3] of many processes that start together exactly one gets the lock", { skip: needs("flock") }, async (t) => {
  const directory = t.testdir();
  const all = Array.from({ length: 5 }, () => holder(directory));
  t.teardown(() => Promise.all(all.map((one) => one.stop("SIGKILL"))));
  const outcomes = await Promise.all(
    all.map((one) =>
      Promise.race([
        one.line(/^\d+$/).then(
          () => "owner",
          () => "refused",
        ),
        one.ended.then(() => "refused"),
      ]),
    ),
  );
  t.equal(outcomes.filter((outcome) => outcome === "owner").length, 1);
  const owner = all[outcomes.indexOf("owner")];
  for (const one of all.filter((one) => one !== owner)) await one.line(new RegExp(`held by pid ${owner?.pid}$`));
});

test("[STA-3] the same process is refused too, until it releases", { skip: needs("flock") }, async (t) => {
  const directory = t.testdir();
  const lock = await lockState(directory);
  await t.rejects(lockState(directory), { code: "lock.held", message: new RegExp(`held by pid ${process.pid}$`) });
  await lock.release();
  await (await lockState(directory)).release();
});

test("[STA-3] a child of the owner that outlives it does not keep the lock", { skip: needs("flock") }, async (t) => {
  const directory = t.testdir();
  const lock = await lockState(directory);
  const child = startProgram({ name: "sleep", command: "sleep", args: ["60"] });
  t.teardown(() => child.stop("SIGKILL"));
  await lock.release();
  await (await lockState(directory)).release();
});

test("an owner that has not written its pid yet is not reported as the previous one", { skip: needs("flock") }, async (t) => {
  const directory = t.testdir();
  const lock = await lockState(directory);
  // above the kernel's largest pid: no process has it
  writeFileSync(join(directory, ".lock"), "4194305\n");
  await t.rejects(lockState(directory), { code: "lock.held", message: /held by a process with an unknown pid$/ });
  await lock.release();
});

test("without flock(1) the fault says what is missing", async (t) => {
  await t.rejects(lockState(t.testdir(), "no-such-flock"), { code: "process.failed", message: /no-such-flock.*install/ });
});

test("[STA-4] a link or a directory in the lock's place is set aside, untouched; a directory that others may write is refused", async (t) => {
  const directory = t.testdir({ target: "precious" });
  symlinkSync("target", join(directory, ".lock"));
  await (await lockState(directory)).release();
  t.equal(readlinkSync(join(directory, ".aside-.lock")), "target");
  t.equal(readFileSync(join(directory, "target"), "latin1"), "precious");
  const other = t.testdir({ ".lock": {} });
  await (await lockState(other)).release();
  t.ok(statSync(join(other, ".aside-.lock")).isDirectory());
  const shared = join(directory, "shared");
  mkdirSync(shared);
  chmodSync(shared, 0o777);
  await t.rejects(lockState(shared), { code: "file.untrusted-owner" });
});

test("a missing directory is made private", { skip: needs("flock") }, async (t) => {
  const directory = join(t.testdir(), "var/lib/state");
  await (await lockState(directory)).release();
  t.equal(statSync(directory).mode & 0o777, 0o700);
});
