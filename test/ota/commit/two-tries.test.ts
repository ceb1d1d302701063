// A trial under systemd-boot has two boots: its outcome after power cuts, and when the system is
// unhealthy.
import { test } from "tap";
import { linuxHardware, createSystemdBootChoice } from "../../../hal/linux/index.ts";
import { createUpdater, type Effect, type Event, readUpdateState, type Updater } from "../../../ota/commit/index.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";
import { makeEsp, powerOnSystemdBoot } from "../../lab/fakes/systemd-boot.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const release = { target: "os/gateway-7", digest: "7".repeat(64), line: "os", counter: 7, floorAfterCommit: 6 };
const DEADLINE_MS = 600_000;

interface Boot {
  readonly slot: string;
  readonly updater: Updater;
  /** The effects since this boot. */
  readonly did: readonly Effect["do"][];
}

/**
 * A gateway with a release in slot b that is about to be tried. Each call of `powerOn` is one boot.
 */
async function gateway(t: { teardown(remove: () => Promise<void>): void }) {
  const root = await temporaryDirectory(t);
  const choice = createSystemdBootChoice({ esp: await makeEsp(root, { "gw_1_a.efi": "a", "gw_b.new": "b" }), tries: 2 });
  const files = fakeFiles();
  const bootId = () => linuxHardware({ root }).bootId();
  const powerOn = async (): Promise<Boot> => {
    const slot = await powerOnSystemdBoot(root);
    const did: Effect["do"][] = [];
    const updater = createUpdater({
      files,
      state: await readUpdateState(files),
      run: async (effect) => {
        did.push(effect.do);
        if (effect.do === "choose-try") await choice.tryOnce(effect.slot);
        if (effect.do === "cancel-choice") await choice.cancel();
        if (effect.do === "commit-choice") await choice.commit(effect.slot);
      },
    });
    await updater.apply({
      kind: "started",
      slot: slot === "b" ? "b" : "a",
      plan: await choice.read(),
      bootId: await bootId(),
      deadlineUptimeMs: DEADLINE_MS,
    });
    return { slot, updater, did };
  };
  const { updater } = await powerOn();
  const events: readonly Event[] = [
    { kind: "offered", release, ordered: false },
    { kind: "verified", slot: "b" },
    { kind: "written" },
    { kind: "try", checks: ["agent", "hub"], bootId: await bootId() },
  ];
  for (const event of events) await updater.apply(event);
  return { powerOn, choice };
}

const passed = (name: string): Event => ({ kind: "health", result: { name, verdict: "passed", detail: "" } });

test("[OTA-34] [OTA-63] after one power cut during a trial the second boot continues it with a new deadline, and it is committed", async (t) => {
  const { powerOn, choice } = await gateway(t);
  const first = await powerOn();
  t.equal(first.slot, "b");
  await first.updater.apply(passed("agent"));
  await first.updater.apply({ kind: "tick", uptimeMs: DEADLINE_MS - 1 });
  // the power fails
  const { slot, updater, did } = await powerOn();
  t.equal(slot, "b");
  t.equal(updater.state().phase.at, "trying");
  await updater.apply({ kind: "tick", uptimeMs: 5000 });
  for (const name of ["agent", "hub"]) await updater.apply(passed(name));
  t.same(did, ["check-health", "commit-choice"]);
  await updater.apply({ kind: "choice-committed" });
  t.same(await choice.read(), { committed: "b", trial: undefined });
  for (let boot = 0; boot < 3; boot += 1) t.equal((await powerOn()).slot, "b");
});

test("[OTA-34] [OTA-35] after two power cuts during a trial the committed system boots and records the interruption", async (t) => {
  const { powerOn, choice } = await gateway(t);
  t.equal((await powerOn()).slot, "b");
  t.equal((await powerOn()).slot, "b");
  const { slot, updater } = await powerOn();
  t.equal(slot, "a");
  t.match(updater.state().phase, { at: "rolled-back", reason: { why: "interrupted" } });
  t.same(await choice.read(), { committed: "a", trial: undefined });
  t.equal((await powerOn()).slot, "a");
});

test("[OTA-63] an unhealthy trial ends with its first boot, and its second one is cancelled", async (t) => {
  const { powerOn } = await gateway(t);
  const { slot, updater, did } = await powerOn();
  t.equal(slot, "b");
  await updater.apply({ kind: "tick", uptimeMs: DEADLINE_MS });
  t.same(did, ["check-health", "cancel-choice", "reboot"]);
  const back = await powerOn();
  t.equal(back.slot, "a");
  t.match(back.updater.state().phase, { at: "rolled-back", reason: { why: "deadline" } });
});

test("[OTA-63] tries that could not be cancelled are used up by boots: the rollback takes longer, but it comes", async (t) => {
  const { powerOn, choice } = await gateway(t);
  const { updater } = await powerOn();
  await updater.apply({ kind: "tick", uptimeMs: DEADLINE_MS });
  // as if the cancellation had failed: the trial has its second boot
  await choice.tryOnce("b");
  const again = await powerOn();
  t.equal(again.slot, "b");
  t.same(again.did, ["cancel-choice", "reboot"]);
  t.equal((await powerOn()).slot, "a");
});
