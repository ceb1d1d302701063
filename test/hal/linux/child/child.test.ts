// The driver for child programs, with programs of the machine in place of ours: lines in, lines
// out, and an end in every case.
import { readFile } from "node:fs/promises";
import { test } from "tap";
import { startChild } from "../../../../hal/linux/index.ts";
import { eventually } from "../../../lab/runner/process.ts";
import type { ChildProgram } from "../../../../hal/ports.ts";

const OPTIONS = { lineBytesMax: 100, onErrorLine: () => undefined };

async function linesOf({ lines }: ChildProgram): Promise<readonly string[]> {
  const all: string[] = [];
  for await (const line of lines) all.push(line);
  return all;
}

test("the child's lines come back one by one; its error lines go to the journal; its end is reported as text", async (t) => {
  const errorLines: string[] = [];
  const child = await startChild("sh", ["-c", "read one; echo \"got $one\"; echo 'a word' >&2; printf 'half a line'; exit 3"], {
    ...OPTIONS,
    onErrorLine: (line) => errorLines.push(line),
  });
  await child.tell("hello");
  t.same(await linesOf(child), ["got hello"]);
  t.equal(await child.ended, "code 3");
  t.same(errorLines, ["a word"]);
  await t.rejects(child.tell("anyone?"), { code: "process.failed" });
  await t.resolves(child.kill(), "it is gone already");
});

test("a line above the bound ends the program; so does a kill, with everything it started", async (t) => {
  const child = await startChild("sh", ["-c", "head -c 1000 /dev/zero; sleep 60"], OPTIONS);
  await t.rejects(linesOf(child), { code: "process.failed", message: /more than 100 bytes/u });
  t.equal(await child.ended, "SIGKILL");
  const other = await startChild("sh", ["-c", "sleep 61 & echo $!; wait"], OPTIONS);
  const [pid] = await first(other);
  await other.kill();
  t.equal(await other.ended, "SIGKILL");
  const gone = async (): Promise<true | undefined> =>
    // a zombie has none either
    (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")) === "" ? true : undefined;
  t.ok(await eventually("what it started is gone too", gone));
});

test("a program that does not exist is a fault", async (t) => {
  await t.rejects(startChild("/nonexistent/installer", [], OPTIONS), { code: "process.failed" });
});

async function first({ lines }: ChildProgram): Promise<readonly string[]> {
  for await (const line of lines) return [line];
  return [];
}
