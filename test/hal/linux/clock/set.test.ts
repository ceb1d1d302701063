// Setting the machine's clock without doing so, because this machine is shared.
import { test } from "tap";
import { Fault } from "../../../../hal/fault.ts";
import { linuxClock } from "../../../../hal/linux/clock/index.ts";
import { runProgram } from "../../../../hal/linux/process/index.ts";

const BOUNDS = { timeoutMs: 300_000, outputBytesMax: 1024 };

test("date(1) gets the requested moment to the millisecond, as the real date(1) reads it", async (t) => {
  const now = Date.now();
  const clock = linuxClock(async (program, args) => {
    t.equal(program, "date");
    t.equal(args[0], "--utc");
    const { stdout } = await runProgram("date", ["--utc", (args[1] ?? "").replace("--set=", "--date="), "+%s%3N"], BOUNDS);
    t.equal(stdout.trim(), `${now}`);
    return { stdout: "", stderr: "" };
  });
  await clock.set(now);
});

test("without the right to set the clock, the fault carries the program's error text", async (t) => {
  const clock = linuxClock((program, args) =>
    // As another user when we are root: the real kernel refuses the real date(1).
    process.geteuid?.() === 0
      ? runProgram("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", program, ...args], BOUNDS)
      : runProgram(program, args, BOUNDS),
  );
  await t.rejects(clock.set(Date.now()), { code: "clock.set-failed", message: /set the clock to 20.*not permitted/ });
});

test("a clock that reads differently right afterwards is a fault", async (t) => {
  const clock = linuxClock(async () => ({ stdout: "", stderr: "" }));
  await t.rejects(clock.set(Date.UTC(2099, 0, 1)), { code: "clock.set-failed", message: /another program/ });
});

test("a value that is not a time is refused before any program runs", async (t) => {
  const clock = linuxClock(async () => {
    throw new Fault("assert.broken", "nothing may run");
  });
  for (const bad of [Number.NaN, -1, 0.5, Number.POSITIVE_INFINITY])
    await t.rejects(clock.set(bad), { code: "clock.set-failed" });
});
