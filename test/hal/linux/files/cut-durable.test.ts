// The power is cut after every operation of writing state files, for every state that the disk may
// then have; then the real helper opens what is left.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { linuxFiles } from "../../../../hal/linux/files/index.ts";
import { type Change, crashDisk, crashStates, type DiskState, restore } from "../../../lab/fakes/crash-disk.ts";

const BYTES_MAX = 10_000;

/**
 * One put (or remove, without a value), and the changes recorded before it began and when it had
 * resolved.
 */
interface Step {
  readonly name: string;
  readonly value: string | undefined;
  readonly from: number;
  readonly to: number;
}

interface History {
  readonly changes: readonly Change[];
  readonly steps: readonly Step[];
}

/** Values longer than some sectors, each different from any part of the others. */
const STEPS: readonly (readonly [string, string | undefined])[] = [
  ["record", "first ".repeat(200)],
  ["record", "second".repeat(300)],
  ["other", "third"],
  ["record", ""],
  ["record", "fourth ".repeat(100)],
  ["record", undefined],
  ["record", "fifth"],
];

async function recordHistory(directory: string): Promise<History> {
  const disk = crashDisk(directory);
  const files = await linuxFiles(directory, disk.ops);
  const steps: Step[] = [];
  for (const [name, value] of STEPS) {
    const from = disk.changes.length;
    await (value === undefined ? files.remove(name) : files.put(name, Buffer.from(value)));
    steps.push({ name, value, from, to: disk.changes.length });
  }
  return { changes: disk.changes, steps };
}

/**
 * Values that `name` may have when the power is cut after `cut` changes: the last one put, and the
 * one that is being put.
 */
function allowed(steps: readonly Step[], name: string, cut: number): readonly (string | undefined)[] {
  const own = steps.filter((step) => step.name === name);
  const inFlight = own.filter((step) => step.from < cut && cut < step.to).map((step) => step.value);
  return [own.findLast((step) => step.to <= cut)?.value, ...inFlight];
}

/** @returns the first violation in words, or undefined when every possible state is right. */
async function violation({ changes, steps }: History, directory: string): Promise<string | undefined> {
  for (let cut = 0; cut <= changes.length; cut++)
    for (const state of crashStates(changes.slice(0, cut))) {
      const found = await reopened(state, directory);
      const wrong = ["record", "other"].find((name) => !allowed(steps, name, cut).includes(found.get(name)));
      if (wrong !== undefined) return `cut after change ${cut}: "${wrong}" is "${found.get(wrong)?.slice(0, 20)}"`;
    }
  return undefined;
}

async function reopened(state: DiskState, directory: string): Promise<ReadonlyMap<string, string | undefined>> {
  restore(state, directory);
  const files = await linuxFiles(directory);
  const found = new Map<string, string | undefined>();
  for (const name of ["record", "other"]) {
    const bytes = await files.get(name, BYTES_MAX);
    found.set(name, bytes === undefined ? undefined : Buffer.from(bytes).toString("latin1"));
  }
  return found;
}

/** The same history on a machine that omits one operation. */
function without({ changes, steps }: History, index: number): History {
  const shift = (at: number): number => (at > index ? at - 1 : at);
  return {
    changes: changes.filter((_, i) => i !== index),
    steps: steps.map((step) => ({ ...step, from: shift(step.from), to: shift(step.to) })),
  };
}

test("[STA-1] after a power cut, a state file is the old or the new one, complete, and the new one once put has resolved", async (t) => {
  const directory = t.testdir({ work: {}, disk: {} });
  const history = await recordHistory(join(directory, "work"));
  const states = history.changes.flatMap((_, i) => crashStates(history.changes.slice(0, i + 1)));
  t.comment(`${history.changes.length} changes, ${states.length} states of the disk`);
  t.ok(states.length > 100, "the model makes many states");
  t.equal(await violation(history, join(directory, "disk")), undefined);
});

test("[STA-1] control: without any one fsync, some power cut breaks a state file", async (t) => {
  const directory = t.testdir({ work: {}, disk: {} });
  const history = await recordHistory(join(directory, "work"));
  const start = history.steps[0]?.from ?? 0;
  for (const [index, change] of history.changes.entries()) {
    if (index < start || !["sync", "sync-directory"].includes(change.kind)) continue;
    const holder = history.steps.find((step) => step.from <= index && index < step.to);
    // An empty file has no bytes to lose
    if (holder?.value === "" && change.kind === "sync") continue;
    t.type(await violation(without(history, index), join(directory, "disk")), "string", `change ${index}, ${change.kind}`);
  }
});

test("[STA-1] control: without the rename, or with the rename before the sync, some power cut breaks a state file", async (t) => {
  const directory = t.testdir({ work: {}, disk: {} });
  const history = await recordHistory(join(directory, "work"));
  const swapped = [...history.changes];
  const rename = swapped.findLastIndex((change) => change.kind === "rename");
  swapped.splice(rename - 1, 2, ...history.changes.slice(rename - 1, rename + 1).reverse());
  t.type(await violation({ ...history, changes: swapped }, join(directory, "disk")), "string");
  t.type(await violation(without(history, rename), join(directory, "disk")), "string");
});

test("[STA-1] half-written files that a crash left are removed at the next open", async (t) => {
  const directory = t.testdir({ work: {}, disk: {} });
  const { changes } = await recordHistory(join(directory, "work"));
  const disk = join(directory, "disk");
  let leftOvers = 0;
  for (let cut = 0; cut <= changes.length; cut++)
    for (const state of crashStates(changes.slice(0, cut))) {
      if (![...state.keys()].some((name) => name.startsWith("."))) continue;
      leftOvers += 1;
      restore(state, disk);
      await linuxFiles(disk);
      t.same(
        readdirSync(disk).filter((name) => name.startsWith(".")),
        [],
      );
    }
  t.ok(leftOvers > 10, "there are such states");
});

for (const withSync of [true, false])
  test(`[STA-1] ${withSync ? "what is read after a kill survives a power cut" : "control: it does not without the sync at open"}`, async (t) => {
    const directory = t.testdir();
    let lost = 0;
    for (let n = 0; n < 8; n++) {
      const work = join(directory, `${n}`);
      const disk = crashDisk(work);
      const files = await linuxFiles(work, disk.ops);
      await files.put("record", Buffer.from("old"));
      disk.killAt(n);
      await files.put("record", Buffer.from("new")).catch(() => undefined); // killed on the way
      disk.revive();
      const opening = disk.changes.length;
      const seen = await (await linuxFiles(work, disk.ops)).get("record", BYTES_MAX);
      const changes = disk.changes.filter((change, i) => withSync || i < opening || change.kind !== "sync-directory");
      for (const state of crashStates(changes)) {
        const found = (await reopened(state, join(directory, "disk"))).get("record");
        if (found !== Buffer.from(seen ?? []).toString()) lost += 1;
      }
    }
    if (withSync) t.equal(lost, 0);
    else t.ok(lost > 0);
  });
