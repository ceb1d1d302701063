// A policy and a reboot: a trial that the warden itself interrupts is tried again, a bounded number
// of times; a trial that ended in any other way is not.
import { type Test, test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import { addPolicy, confirmPolicy, deviceInUse } from "../../lab/worlds/device-in-use.ts";
import { lockdownOrder, lockdownRig, policyBytes } from "../../lab/worlds/lockdown.ts";
import type { Operator } from "../../lab/worlds/orders.ts";
import { DEVICE } from "../../lab/worlds/targets.ts";
import { broughtTo, filesInMemory, type RunningWarden, type WardenAnswer } from "../../lab/worlds/whole-warden.ts";
import { challengeText, orderOfAnswer, parseChallenge } from "../../../warden/orders/format/index.ts";

async function orderReboot(warden: RunningWarden, owner: Operator): Promise<WardenAnswer> {
  const { result } = await warden.ask("order.nonce", { verb: "system.reboot" });
  const challenge = challengeText({ verb: "system.reboot", deviceId: DEVICE, nonce: String(result?.["nonce"]) });
  const order = JSON.stringify(orderOfAnswer(parseChallenge(challenge), owner.answer(challenge)));
  return await warden.ask("order.submit", { verb: "system.reboot", order });
}

/** A device in use that has been brought its third policy and has not tried it. */
async function policyAtHand(t: Test) {
  const files = filesInMemory();
  const { world, owner } = await deviceInUse(t, files);
  const warden = await world.start(files);
  addPolicy(world, 3);
  world.repository.publish("policy");
  await broughtTo(world, warden, "trust.refresh", {});
  return { files, world, owner, warden };
}

const lockdownOf = async (warden: RunningWarden): Promise<unknown> => (await warden.ask("status.read", {})).result?.["lockdown"];

test("[LCK-67] [LCK-68] a policy and a reboot of ours at once: the trial ends before the reboot is asked for, and is tried again after it", async (t) => {
  const { files, world, owner, warden } = await policyAtHand(t);
  t.match(await warden.ask("lockdown.propose", {}), { result: { counter: 3 } });
  const asked: { recorded?: unknown } = {};
  world.reboot = async () => {
    asked.recorded = JSON.parse(Buffer.from(files.lockdown.contents.get("lockdown.json") ?? []).toString());
  };
  t.notOk((await orderReboot(warden, owner)).fault);
  t.match(asked.recorded, {
    v: 2,
    readable: 1,
    confirmed: { counter: 2 },
    reverted: { counter: 3, reason: "stopped", interruptions: 1 },
  });
  t.match(await lockdownOf(warden), { at: "confirmed", counter: 2, reverted: { reason: "stopped", again: 3 } });
  t.match(await warden.ask("lockdown.propose", {}), { fault: { code: "lockdown.busy", message: /about to restart/u } });
  await warden.stop();

  const second = await world.start(files);
  t.match(await second.ask("lockdown.propose", {}), { result: { counter: 3 } });
  await second.ask("lockdown.propose", {});
  t.match(await lockdownOf(second), { at: "pending", counter: 3 });
  await confirmPolicy(second);
  t.match(await lockdownOf(second), { at: "confirmed", counter: 3 });
  await second.stop();
});

test("[LCK-68] a reboot that is refused leaves the device where a policy can be tried, and one that never comes too", async (t) => {
  const { world, owner, warden } = await policyAtHand(t);
  await warden.ask("lockdown.propose", {});
  world.reboot = async () => {
    throw new Fault("power.failed", "ask for a reboot: refused");
  };
  t.match(await orderReboot(warden, owner), { fault: { code: "power.failed" } });
  t.match(await warden.ask("lockdown.propose", {}), { result: { counter: 3 } });
  world.reboot = async () => undefined;
  t.notOk((await orderReboot(warden, owner)).fault);
  t.match(await warden.ask("lockdown.propose", {}), { fault: { code: "lockdown.busy" } });
  await world.clock.advance(300_000);
  t.match(await warden.ask("lockdown.propose", {}), { result: { counter: 3 } });
  await warden.stop();
});

test("[LCK-67] a policy under which the machine restarts again and again is given up after three trials", async (t) => {
  const rig = lockdownRig();
  for (const n of [1, 2, 3]) {
    const lockdown = await rig.open();
    await lockdown.propose(policyBytes(), 7);
    await lockdown.stop();
    t.match(lockdown.status().reverted, { counter: 7, reason: "stopped", interruptions: n });
  }
  const last = await rig.open();
  await t.rejects(last.propose(policyBytes(), 7), { code: "lockdown.unchanged", message: /reverted \(stopped\)/u });
  await last.confirm(lockdownOrder(await last.propose(policyBytes(), 8)));
  t.equal(last.status().reverted, undefined);
});

test("[LCK-67] what ended a trial for its own sake stays final: its deadline, an order, a fault, a power cut; so does an older policy", async (t) => {
  const rig = lockdownRig();
  const interrupted = await rig.open();
  await interrupted.propose(policyBytes(), 7);
  await interrupted.stop();
  const cut = await rig.open();
  await t.rejects(cut.propose(policyBytes(), 6), { code: "lockdown.unchanged" });
  await cut.propose(policyBytes(), 7);
  // the power fails: nothing is told
  const after = await rig.open();
  t.match(after.status().reverted, { counter: 7, reason: "restarted" });
  await t.rejects(after.propose(policyBytes(), 7), { code: "lockdown.unchanged", message: /restarted/u });
  await after.propose(policyBytes(), 8);
  await rig.clock.advance(60_000);
  await t.rejects(after.propose(policyBytes(), 8), { code: "lockdown.unchanged", message: /deadline/u });
  const trial = await after.propose(policyBytes(), 9);
  await after.revert(lockdownOrder(trial, { verb: "lockdown.revert" }));
  await t.rejects(after.propose(policyBytes(), 9), { code: "lockdown.unchanged", message: /ordered/u });
  rig.firewall.refuse();
  await t.rejects(after.propose(policyBytes(), 10), { code: "firewall.refused" });
  await t.rejects(after.propose(policyBytes(), 10), { code: "lockdown.unchanged" });
});

test("[LCK-67] a record of the version before, whose release was rebooted in a trial, is tried again; one that the disk keeps is not lost", async (t) => {
  const rig = lockdownRig();
  const first = await rig.open();
  const { planHash } = await first.propose(policyBytes(), 7);
  await first.stop();
  await rig.files.put(
    "lockdown.json",
    Buffer.from(JSON.stringify({ readable: 1, reverted: { counter: 7, planHash, reason: "stopped" }, v: 1 })),
  );
  const second = await rig.open();
  t.match(second.status().reverted, { counter: 7, reason: "stopped" });
  await second.propose(policyBytes(), 7);
  await second.stop();
  t.match(second.status().reverted, { interruptions: 2 }, "the one before counts");
});
