// A program at the other end of a connection, as systemd starts it.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { test } from "tap";
import { connectChild } from "../../../../hal/linux/index.ts";
import type { ChildProgram } from "../../../../hal/ports.ts";
import { needs } from "../../../lab/runner/needs.ts";
import { eventually } from "../../../lab/runner/process.ts";
import { temporaryDirectory } from "../../../lab/runner/temporary.ts";
import type { TestContext } from "../../../lab/runner/context.ts";

const skip = needs("socat");

/**
 * socat does what systemd does: a program for a connection, its standard input and output the other
 * end.
 */
async function served(t: TestContext, command: string): Promise<ChildProgram> {
  const path = join(await temporaryDirectory(t), "s.sock");
  const socat = spawn("socat", [`UNIX-LISTEN:${path},mode=600`, `SYSTEM:${JSON.stringify(command)}`], { stdio: "ignore" });
  t.teardown(() => void socat.kill("SIGKILL"));
  return await eventually("a connection", () => connectChild(path, { lineBytesMax: 100 }).catch(() => undefined));
}

test("what is told comes back line by line; its end is seen", { skip }, async (t) => {
  const child = await served(t, "read one; echo got $one; echo more");
  await child.tell("hello");
  const lines: string[] = [];
  for await (const line of child.lines) lines.push(line);
  t.same(lines, ["got hello", "more"]);
  t.equal(await child.ended, "code 0");
  await t.resolves(child.kill(), "it is gone already");
});

test("what is not wanted any more sees the end of its input, and goes", { skip }, async (t) => {
  const child = await served(t, "cat > /dev/null");
  await child.kill();
  t.equal(await child.ended, "code 0");
  await t.rejects(child.tell("anyone?"), { code: "process.failed" });
});

test("a line above the bound is a fault; so is nobody there", { skip }, async (t) => {
  const child = await served(t, "head -c 1000 /dev/zero; cat");
  await t.rejects(child.lines[Symbol.asyncIterator]().next(), { code: "process.failed", message: /more than 100 bytes/u });
  await child.ended;
  await t.rejects(connectChild(join(await temporaryDirectory(t), "none"), { lineBytesMax: 100 }), { code: "process.failed" });
});
