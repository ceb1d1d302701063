// A power cut before every durable write of an update, of its boot choice and of its floor. The
// machine boots again each time.
import { test } from "tap";
import { createFileBootChoice } from "../../../hal/linux/index.ts";
import { decodeBootPlan, encodeBootPlan, type SlotName } from "../../../hal/format/slots.ts";
import { createUpdater, type Effect, readUpdateState, type Updater } from "../../../ota/commit/index.ts";
import { floorsOf, openFloors } from "../../../ota/floor/index.ts";
import { type FakeFiles, fakeFiles } from "../../lab/fakes/files.ts";

const release = { target: "os/gateway-7", digest: "7".repeat(64), line: "os", counter: 7, floorAfterCommit: 6 };
const BOOTS_MAX = 12;

interface Outcome {
  readonly at: string;
  readonly slot: SlotName;
  readonly files: FakeFiles;
  readonly boots: number;
}

/** The boot loader. It is not interrupted here: its own write is one rename. */
function powerOn(files: FakeFiles): SlotName {
  const plan = decodeBootPlan(Buffer.from(files.contents.get("boot-choice") ?? []).toString());
  if (plan.trial === undefined || plan.trial.used) return plan.committed;
  files.contents.set("boot-choice", Buffer.from(encodeBootPlan({ ...plan, trial: { ...plan.trial, used: true } })));
  return plan.trial.slot;
}

/** One boot: runs until nothing is left to do, or until a reboot or a power cut. */
async function oneBoot(
  files: FakeFiles,
  slot: SlotName,
  bootId: string,
  isHealthy: boolean,
): Promise<{ readonly updater: Updater | undefined; readonly again: boolean }> {
  const choice = createFileBootChoice(files);
  const todo: (() => Promise<void>)[] = [];
  const reboot = new AbortController();
  let open: Updater | undefined;
  try {
    const floors = await openFloors(files);
    const run = async (effect: Effect): Promise<void> => {
      const post = (event: Parameters<Updater["apply"]>[0]) => void todo.push(async () => open?.apply(event));
      switch (effect.do) {
        case "fetch":
          return post({ kind: "verified", slot: "b" });
        case "write":
          return post({ kind: "written" });
        case "choose-try":
          return choice.tryOnce(effect.slot);
        case "cancel-choice":
          return choice.cancel();
        case "commit-choice":
          await choice.commit(effect.slot);
          return post({ kind: "choice-committed" });
        case "raise-floor":
          await floors.commit(effect.commit);
          return;
        case "reboot":
          return reboot.abort();
        case "check-health":
          return post({ kind: "health", result: { name: "hub", verdict: isHealthy ? "passed" : "failed", detail: "" } });
        default:
      }
    };
    open = createUpdater({ files, state: await readUpdateState(files), run });
    const updater = open;
    await updater.apply({ kind: "started", slot, plan: await choice.read(), bootId, deadlineUptimeMs: 1000 });
    if (updater.state().phase.at === "idle") await updater.apply({ kind: "offered", release, ordered: false });
    for (let step = todo.shift(); step !== undefined && !reboot.signal.aborted; step = todo.shift()) await step();
    if (updater.state().phase.at === "written") {
      await updater.apply({ kind: "try", checks: ["hub"], bootId });
      for (let step = todo.shift(); step !== undefined && !reboot.signal.aborted; step = todo.shift()) await step();
    }
    return { updater, again: reboot.signal.aborted };
  } catch {
    return { updater: open, again: true }; // the power failed
  }
}

async function bootUntilSettled(isHealthy: boolean, cutsAt: readonly number[]): Promise<Outcome> {
  const files = fakeFiles();
  files.contents.set("boot-choice", Buffer.from("a\n"));
  for (const at of cutsAt) files.faults.failAt(at, "file.write-failed");
  for (let boots = 1; boots < BOOTS_MAX; boots++) {
    const slot = powerOn(files);
    const { updater, again } = await oneBoot(files, slot, `boot ${boots}`, isHealthy);
    if (!again) return { at: updater?.state().phase.at ?? "none", slot, files, boots };
  }
  return { at: "never settled", slot: powerOn(files), files, boots: BOOTS_MAX };
}

async function floorOf(files: FakeFiles): Promise<number | undefined> {
  return floorsOf((await openFloors(files)).record()).get("os");
}

/** The number of durable writes without a power cut. */
async function writesOf(isHealthy: boolean): Promise<number> {
  return (await bootUntilSettled(isHealthy, [])).files.faults.changes;
}

test("[OTA-35] [OTA-36] with a power cut before any one write a healthy release ends either committed or rolled back", async (t) => {
  const writes = await writesOf(true);
  t.ok(writes >= 8, `${writes} durable writes`);
  for (let cut = 1; cut <= writes + 1; cut++) {
    const { at, slot, files, boots } = await bootUntilSettled(true, [cut]);
    const plan = decodeBootPlan(Buffer.from(files.contents.get("boot-choice") ?? []).toString());
    t.ok(at === "committed" || at === "rolled-back", `cut before write ${cut}: ${at} in slot ${slot} after ${boots} boots`);
    t.equal(slot, at === "committed" ? "b" : "a");
    t.same(plan, { committed: slot, trial: undefined }, "the boot choice agrees with the running slot");
    t.equal(await floorOf(files), at === "committed" ? 6 : undefined, "the floor rose with the commit and not before");
  }
});

test("[OTA-35] with power cuts before any two writes the update still settles", async (t) => {
  const writes = await writesOf(true);
  for (let first = 1; first <= writes; first++)
    for (let second = first + 1; second <= writes + 2; second++) {
      const { at, slot, files } = await bootUntilSettled(true, [first, second]);
      const floor = await floorOf(files);
      const isRight =
        at === "committed" ? slot === "b" && floor === 6 : at === "rolled-back" && slot === "a" && floor === undefined;
      if (!isRight) t.fail(`cut before writes ${first} and ${second}: ${at} in slot ${slot}, floor ${floor}`);
    }
});

test("[OTA-60] an unhealthy release is rolled back after a power cut before any write", async (t) => {
  const writes = await writesOf(false);
  for (let cut = 0; cut <= writes + 1; cut++) {
    const { at, slot, files } = await bootUntilSettled(false, cut === 0 ? [] : [cut]);
    t.equal(at, "rolled-back", `cut before write ${cut}`);
    t.equal(slot, "a");
    t.equal(await floorOf(files), undefined);
  }
});
