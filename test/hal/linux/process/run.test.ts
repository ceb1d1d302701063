import { test } from "tap";
import { runProgram, runToExit } from "../../../../hal/linux/process/index.ts";

const BOUNDS = { timeoutMs: 300_000, outputBytesMax: 4096 };

test("a program's output comes back, and its arguments reach it without any shell", async (t) => {
  const { stdout, stderr } = await runProgram("printf", ["%s|%s", "$(id); rm -rf /", "a b"], BOUNDS);
  t.equal(stdout, "$(id); rm -rf /|a b");
  t.equal(stderr, "");
});

test("stdin gets the input and is closed; a program that does not read it is no fault", async (t) => {
  t.equal((await runProgram("cat", [], { ...BOUNDS, input: "words" })).stdout, "words");
  await runProgram("true", [], { ...BOUNDS, input: Buffer.alloc(1_000_000) });
});

test("the child sees none of our variables", async (t) => {
  // tap adds some variables to every child, so the whole list cannot be compared
  process.env["SALLYPORT_CANARY"] = "seen";
  t.teardown(() => delete process.env["SALLYPORT_CANARY"]);
  // tap lists every file of the run in one of its variables
  const { stdout } = await runProgram("env", [], { ...BOUNDS, outputBytesMax: 1_048_576 });
  t.notMatch(stdout, /CANARY|^HOME=/m);
  t.match(stdout, /^LC_ALL=C$/m);
});

test("an exit code other than 0 is process.failed with the program's error text on one line", async (t) => {
  await t.rejects(runProgram("sh", ["-c", "printf 'no\\nsuch \\033[31mthing' >&2; exit 3"], BOUNDS), {
    code: "process.failed",
    message: 'run "sh": it ended with code 3: no such [31mthing',
  });
  t.equal((await runToExit("sh", ["-c", "exit 3"], BOUNDS)).exitCode, 3);
});

test("a missing program is process.failed and names the folders that were searched", async (t) => {
  await t.rejects(runProgram("no-such-program", [], BOUNDS), { code: "process.failed", message: /in none of \/usr\/sbin, / });
  await t.rejects(runProgram("/nowhere/flock", [], BOUNDS), { code: "process.failed", message: /no program is there/ });
  await t.rejects(runProgram("../bin/true", [], BOUNDS), { code: "process.failed" });
});

test("more output than the bound ends the program", async (t) => {
  await t.rejects(runProgram("yes", [], BOUNDS), { code: "process.failed", message: /more than 4096 bytes/ });
});

test("a program that takes too long is killed together with what it started", async (t) => {
  // The sleep outlives its shell and would hold the pipe for 100 s.
  await t.rejects(runProgram("sh", ["-c", "sleep 100 & sleep 100"], { ...BOUNDS, timeoutMs: 100 }), { code: "process.timeout" });
  await t.rejects(runProgram("sh", ["-c", "setsid sleep 3 & exit 0"], { ...BOUNDS, timeoutMs: 100 }), {
    code: "process.timeout",
  });
});

test("a program that is killed is process.failed with the signal's name", async (t) => {
  await t.rejects(runProgram("sh", ["-c", "kill -9 $$"], BOUNDS), { code: "process.failed", message: /SIGKILL/ });
});
