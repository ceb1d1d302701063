// The power is cut after every operation of an append; then the real helper opens what is left.
import { join } from "node:path";
import { type Test, test } from "tap";
import { linuxAppendFiles } from "../../../../hal/linux/files/index.ts";
import type { AppendFiles } from "../../../../hal/ports.ts";
import { type Change, crashDisk, crashStates, type DiskState, restore } from "../../../lab/fakes/crash-disk.ts";

const BYTES_MAX = 10_000;

type Action =
  | { readonly do: "append"; readonly text: string }
  | { readonly do: "write"; readonly at: number; readonly text: string; readonly reserve: number }
  | { readonly do: "cut"; readonly length: number }
  | { readonly do: "remove" };

const ACTIONS: readonly Action[] = [
  { do: "append", text: "one " },
  { do: "append", text: "two, of more than a sector ".repeat(30) },
  { do: "append", text: "three " },
  { do: "cut", length: 10 },
  { do: "append", text: "four " },
  { do: "remove" },
  { do: "append", text: "five " },
];

const WRITES: readonly Action[] = [
  { do: "write", at: 0, text: "one ", reserve: 900 },
  { do: "write", at: 4, text: "two, of more than a sector ".repeat(20), reserve: 0 },
  { do: "write", at: 544, text: "three, over zeros and beyond them ".repeat(18), reserve: 50 },
  { do: "write", at: 1156, text: "four ", reserve: 0 },
  { do: "cut", length: 1161 },
];

/** The content of "log" before and after an action, and the changes recorded by then. */
interface Step {
  readonly action: Action;
  readonly before: string | undefined;
  readonly after: string | undefined;
  readonly from: number;
  readonly to: number;
}

interface History {
  readonly changes: readonly Change[];
  readonly steps: readonly Step[];
}

async function act(files: AppendFiles, action: Action): Promise<void> {
  switch (action.do) {
    case "append":
      return files.append("log", Buffer.from(action.text));
    case "write":
      return void (await files.write("log", action.at, Buffer.from(action.text), action.reserve));
    case "cut":
      return files.truncate("log", action.length);
    case "remove":
      return files.remove("log");
  }
}

async function text(files: AppendFiles): Promise<string | undefined> {
  const bytes = await files.read("log", BYTES_MAX);
  return bytes === undefined ? undefined : Buffer.from(bytes).toString("latin1");
}

async function recordHistory(directory: string, actions: readonly Action[]): Promise<History> {
  const disk = crashDisk(directory);
  await using files = await linuxAppendFiles(directory, disk.ops);
  const steps: Step[] = [];
  for (const action of actions) {
    const [before, from] = [await text(files), disk.changes.length];
    await act(files, action);
    steps.push({ action, before, after: await text(files), from, to: disk.changes.length });
  }
  return { changes: disk.changes, steps };
}

async function reopened(state: DiskState, directory: string): Promise<string | undefined> {
  restore(state, directory);
  await using files = await linuxAppendFiles(directory);
  return text(files);
}

function isAllowed(steps: readonly Step[], cut: number, found: string | undefined): boolean {
  if (found === steps.findLast((step) => step.to <= cut)?.after) return true;
  const inFlight = steps.find((step) => step.from < cut && cut < step.to);
  if (inFlight === undefined) return false;
  if (found === inFlight.before || found === inFlight.after) return true;
  const { action } = inFlight;
  // Any part of an unresolved append may be there, but earlier bytes must not be lost.
  const kept = action.do === "write" ? (inFlight.before ?? "").slice(0, action.at) : (inFlight.before ?? "");
  // Of a write over zeros, too: what is behind it stays zeros.
  if (action.do === "write")
    return (
      found?.startsWith(kept) === true &&
      Buffer.from(found.slice(action.at)).every((byte, i) => byte === 0 || byte === action.text.charCodeAt(i))
    );
  return action.do === "append" && found?.startsWith(kept) === true && found.length <= kept.length + action.text.length;
}

async function violation({ changes, steps }: History, directory: string): Promise<string | undefined> {
  for (let cut = 0; cut <= changes.length; cut++)
    for (const state of crashStates(changes.slice(0, cut))) {
      const found = await reopened(state, directory);
      if (!isAllowed(steps, cut, found)) return `cut after change ${cut}: "${found?.slice(0, 40)}"`;
    }
  return undefined;
}

for (const [what, actions] of [
  ["appended bytes are there once the append has resolved, and a truncation happened or not", ACTIONS],
  ["bytes written over zeros are there once the write has resolved, and what is behind them is zeros", WRITES],
] as const)
  test(`[STA-1] after a power cut, ${what}`, async (t) => {
    const directory = t.testdir({ work: {}, disk: {} });
    const history = await recordHistory(join(directory, "work"), actions);
    const states = history.changes.flatMap((_, i) => crashStates(history.changes.slice(0, i + 1)));
    t.comment(`${history.changes.length} changes, ${states.length} states of the disk`);
    t.equal(await violation(history, join(directory, "disk")), undefined);
    await expectEachSyncNeeded(t, history, join(directory, "disk"));
  });

/**
 * The control: without any one sync of a write, a truncation or a new name, some power cut loses
 * bytes.
 */
async function expectEachSyncNeeded(t: Test, { changes, steps }: History, directory: string): Promise<void> {
  for (const [index, change] of changes.entries()) {
    // The sync of a new and empty file matters only for existing files: see the kill below.
    const needed =
      change.kind === "sync-write" ||
      change.kind === "sync-directory" ||
      (change.kind === "sync" && changes[index - 1]?.kind === "truncate");
    if (!needed || index < (steps[0]?.from ?? 0)) continue;
    const shift = (at: number): number => (at > index ? at - 1 : at);
    const history = {
      changes: changes.filter((_, i) => i !== index),
      steps: steps.map((step) => ({ ...step, from: shift(step.from), to: shift(step.to) })),
    };
    t.type(await violation(history, directory), "string", `control: without change ${index}, ${change.kind}`);
  }
}

for (const withSync of [true, false])
  test(
    withSync ? "[STA-1] what is read after a kill survives a power cut" : "control: it does not without the syncs at open",
    async (t) => {
      const directory = t.testdir();
      let lost = 0;
      for (let n = 0; n < 8; n++) {
        const work = join(directory, `${n}`);
        const disk = crashDisk(work);
        const killed = await linuxAppendFiles(work, disk.ops);
        disk.killAt(n);
        for (const action of ACTIONS.slice(0, 2)) await act(killed, action).catch(() => undefined);
        await killed[Symbol.asyncDispose]();
        disk.revive();
        const opening = disk.changes.length;
        await using files = await linuxAppendFiles(work, disk.ops);
        const seen = await text(files);
        const changes = disk.changes.filter((change, i) => withSync || i < opening || !change.kind.startsWith("sync"));
        for (const state of crashStates(changes)) if ((await reopened(state, join(directory, "disk"))) !== seen) lost += 1;
      }
      if (withSync) t.equal(lost, 0);
      else t.ok(lost > 0);
    },
  );

test("the bytes of a failed append are durable too once a later append has resolved", async (t) => {
  const directory = t.testdir({ work: {}, disk: {} });
  const disk = crashDisk(join(directory, "work"));
  await using files = await linuxAppendFiles(join(directory, "work"), disk.ops);
  await files.append("log", Buffer.from("one "));
  disk.killAt(1); // the bytes reach the file, their sync fails
  await t.rejects(files.append("log", Buffer.from("two ")));
  disk.revive();
  t.equal(await text(files), "one two ", "what the caller reads back before it continues");
  await files.append("log", Buffer.from("three"));
  for (const state of crashStates(disk.changes)) t.equal(await reopened(state, join(directory, "disk")), "one two three");
});
