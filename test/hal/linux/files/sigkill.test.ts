// Real processes, killed in the middle of writing.
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Test, test } from "tap";
import { linuxAppendFiles, linuxFiles } from "../../../../hal/linux/files/index.ts";
import { type RunningProgram, startProgram } from "../../../lab/runner/process.ts";

const CHILD = fileURLToPath(new URL("../../../lab/runner/state-child.ts", import.meta.url));
const ROUNDS = 8;

/**
 * Lets the child write for a while (longer in each round) and kills it.
 * @returns the last number that it reported as durable.
 */
async function killedWriter(t: Test, what: string, directory: string, round: number): Promise<number> {
  const writer: RunningProgram = startProgram({ name: what, command: process.execPath, args: [CHILD, what, directory] });
  t.teardown(() => writer.stop("SIGKILL"));
  await writer.line(/^\d+$/);
  await setTimeout(round * 7);
  await writer.stop("SIGKILL");
  return Number(writer.lines.at(-1));
}

test("[STA-1] a state file whose writer is killed is complete, and not older than the reported one", async (t) => {
  const directory = t.testdir();
  for (let round = 0; round < ROUNDS; round++) {
    const reported = await killedWriter(t, "put", directory, round);
    const bytes = await (await linuxFiles(directory)).get("record", 100_000);
    const [start, , end] = Buffer.from(bytes ?? [])
      .toString("latin1")
      .split(" ");
    t.equal(start, end, "whole");
    t.ok(Number(start) === reported || Number(start) === reported + 1, `${start} after ${reported} was reported`);
  }
});

test("[STA-1] an append file whose writer is killed has every reported line, and at most one more", async (t) => {
  for (let round = 0; round < ROUNDS; round++) {
    const directory = t.testdir();
    const reported = await killedWriter(t, "append", directory, round);
    await using files = await linuxAppendFiles(directory);
    const lines = Buffer.from((await files.read("log", 1_000_000)) ?? [])
      .toString("latin1")
      .split("\n");
    t.same(
      lines.slice(0, reported),
      Array.from({ length: reported }, (_, i) => `${i + 1}`),
    );
    t.ok(lines.length <= reported + 2);
  }
});
