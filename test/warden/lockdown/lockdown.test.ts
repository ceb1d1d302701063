// A policy on trial: tried, confirmed, reverted, with only the warden running.
import { test } from "tap";
import { planHash } from "../../../warden/lockdown/format/index.ts";
import type { Lockdown } from "../../../warden/lockdown/index.ts";
import { planLockdown } from "../../../warden/lockdown/plan/index.ts";
import { labPolicy, labSnapshot, lockdownOrder, lockdownRig, policyBytes, seen } from "../../lab/worlds/lockdown.ts";
import { BAD_STICK, STICK } from "../../lab/fakes/usb-tree.ts";

const at = (lockdown: Lockdown): string => lockdown.status().at;
const authorized = (rig: ReturnType<typeof lockdownRig>): readonly string[] =>
  rig.usb.state.devices.filter((device) => device.authorized).map(({ port }) => port);

test("[LCK-7] a start puts the base policy in force: controllers authorize nothing by default, and devices without a rule are deauthorized", async (t) => {
  const rig = lockdownRig();
  const lockdown = await rig.open();
  t.equal(at(lockdown), "base");
  t.equal(rig.firewall.table, lockdown.inForce()?.firewall);
  t.same(rig.usb.state.controllers, [{ name: "usb1", authorizedDefault: 0 }]);
  t.same(authorized(rig), []);
  t.equal(rig.files.contents.size, 0, "nothing to remember");
});

test("[LCK-10] a policy is tried with its intent on disk first, then confirmed, and stays through a restart", async (t) => {
  const rig = lockdownRig();
  const lockdown = await rig.open();
  const seenAtReplace: (string | undefined)[] = [];
  const { replace } = rig.firewall;
  rig.firewall.replace = async (table) => {
    seenAtReplace.push(Buffer.from(rig.files.contents.get("lockdown.json") ?? []).toString());
    return await replace(table);
  };
  const trial = await lockdown.propose(policyBytes(), 7);
  t.match(seenAtReplace[0], `"pending":{"counter":7,"planHash":"${trial.planHash}"}`);
  t.same(authorized(rig), ["1-1"], "the stick of the policy");
  t.equal(at(lockdown), "pending");
  t.equal(lockdown.status().trial?.confirmWithinMs, 60_000);
  await lockdown.confirm(lockdownOrder(trial));
  t.equal(at(lockdown), "confirmed");
  await rig.clock.advance(600_000);
  t.equal(at(lockdown), "confirmed", "the timer is off");
  const again = await rig.open();
  t.match(again.status(), { at: "confirmed", counter: 7, planHash: trial.planHash });
  t.same(
    rig.news.map(({ kind }) => kind),
    ["enforced", "pending", "confirmed", "enforced"],
  );
});

test("[LCK-11] nobody confirms and the agent is dead: the warden's own timer reverts the policy", async (t) => {
  const rig = lockdownRig();
  const lockdown = await rig.open();
  const before = rig.firewall.table;
  const trial = await lockdown.propose(policyBytes(), 7);
  await rig.clock.set(Date.UTC(2099, 0, 1)); // the wall clock does not matter here
  await rig.clock.advance(59_999);
  t.equal(at(lockdown), "pending");
  await rig.clock.advance(1);
  t.match(lockdown.status(), { at: "base", reverted: { planHash: trial.planHash, reason: "deadline" } });
  t.equal(rig.firewall.table, before);
  t.same(authorized(rig), []);
  t.same(rig.news.slice(-2), [
    { kind: "reverted", counter: 7, planHash: trial.planHash, reason: "deadline" },
    { kind: "enforced", counter: undefined },
  ]);
  await t.rejects(lockdown.confirm(lockdownOrder(trial)), { code: "lockdown.not-pending" });
  t.same(JSON.parse(Buffer.from(rig.files.contents.get("lockdown.json") ?? []).toString()), {
    v: 2,
    readable: 1,
    reverted: { counter: 7, planHash: trial.planHash, reason: "deadline" },
  });
});

test("[LCK-11] the revert leads to the last confirmed policy, not to the base", async (t) => {
  const rig = lockdownRig();
  const lockdown = await rig.open();
  await lockdown.confirm(lockdownOrder(await lockdown.propose(policyBytes(), 7)));
  const confirmed = rig.firewall.table;
  await lockdown.propose(policyBytes({ network: { outbound: [{ protocol: "udp", ports: [53], to: "any" }] } }), 8);
  t.not(rig.firewall.table, confirmed);
  await rig.clock.advance(60_000);
  t.match(lockdown.status(), { at: "confirmed", counter: 7 });
  t.equal(rig.firewall.table, confirmed);
});

test("[LCK-12] a late confirmation is refused even before the timer has run", async (t) => {
  const rig = lockdownRig();
  let lateMs = 0;
  const lockdown = await rig.open({ clock: { ...rig.clock, monotonicMs: () => rig.clock.monotonicMs() + lateMs } });
  const trial = await lockdown.propose(policyBytes(), 7);
  lateMs = 60_000;
  await t.rejects(lockdown.confirm(lockdownOrder(trial)), { code: "lockdown.not-pending" });
  t.match(lockdown.status(), { at: "base", reverted: { reason: "deadline" } });
});

test("[LCK-10] one trial at a time", async (t) => {
  const rig = lockdownRig();
  const lockdown = await rig.open();
  const [first, second] = await Promise.allSettled([lockdown.propose(policyBytes(), 7), lockdown.propose(policyBytes(), 8)]);
  t.equal(first.status, "fulfilled");
  t.match(second, { status: "rejected", reason: { code: "lockdown.busy" } });
  t.equal(lockdown.status().counter, 7);
});

test("[LCK-31] a policy that would cut the hub off, or is malformed, changes nothing", async (t) => {
  const rig = lockdownRig();
  const lockdown = await rig.open();
  const before = rig.firewall.history.length;
  await t.rejects(lockdown.propose(policyBytes({ links: [{ name: "eth1" }] }), 7), { code: "lockdown.unsafe", message: /eth0/u });
  await t.rejects(lockdown.propose(policyBytes({ mode: "off" }), 7), { code: "lockdown.invalid" });
  t.equal(rig.firewall.history.length, before);
  t.equal(rig.files.contents.size, 0);
  const preview = await lockdown.preview(policyBytes({ links: [{ name: "eth1" }] }));
  t.equal(preview.risks.length, 1, "a preview lists the risk");
  t.equal(planHash(preview.plan), preview.planHash);
  t.equal(at(lockdown), "base");
});

test("[LCK-11] a table that the kernel refuses, or that is not in force afterwards, is reverted at once", async (t) => {
  for (const spoil of ["refuse", "distort"] as const) {
    const rig = lockdownRig();
    const lockdown = await rig.open();
    const before = rig.firewall.table;
    if (spoil === "distort") {
      const { replace } = rig.firewall;
      rig.firewall.replace = async (table) => {
        const found = await replace(table);
        return table === before ? found : found?.replace("policy drop", "policy accept");
      };
    } else rig.firewall.refuse();
    const code = spoil === "distort" ? "lockdown.not-in-force" : "firewall.refused";
    await t.rejects(lockdown.propose(policyBytes(), 7), { code });
    t.match(lockdown.status(), { at: "base", reverted: { reason: code } }, spoil);
    t.equal(rig.firewall.table, before, spoil);
    t.same(authorized(rig), [], spoil);
  }
});

test("[LCK-10] without a record of the intent no policy is tried", async (t) => {
  const rig = lockdownRig();
  const lockdown = await rig.open();
  const before = rig.firewall.table;
  rig.files.faults.failAlways("file.no-space");
  await t.rejects(lockdown.propose(policyBytes(), 7), { code: "file.no-space" });
  t.equal(at(lockdown), "base");
  t.equal(new Set(rig.firewall.history).size, 1, "the table never changed");
  t.equal(rig.firewall.table, before);
});

test("[LCK-12] a confirmation that cannot be recorded does not count", async (t) => {
  const rig = lockdownRig();
  const lockdown = await rig.open();
  const trial = await lockdown.propose(policyBytes(), 7);
  rig.files.faults.failAt(1, "file.no-space");
  await t.rejects(lockdown.confirm(lockdownOrder(trial)), { code: "lockdown.not-pending" });
  t.match(lockdown.status(), { at: "base", reverted: { reason: "file.no-space" } });
});

test("[LCK-34] where not even the confirmed policy can be put in force, everything is shut, and the policy is tried again", async (t) => {
  const rig = lockdownRig();
  rig.machine = undefined;
  const lockdown = await rig.open();
  t.equal(at(lockdown), "shut");
  t.equal(
    rig.firewall.table,
    planLockdown(undefined, { ...labSnapshot(), links: [], hub: [] }).firewall,
    "no packet passes a machine whose facts cannot be read",
  );
  t.same(authorized(rig), []);
  rig.machine = labSnapshot();
  await rig.clock.advance(60_000);
  t.equal(at(lockdown), "base");
  t.same(rig.news, [
    { kind: "shut", code: "file.read-failed" },
    { kind: "enforced", counter: undefined },
  ]);
});

test("[LCK-30] without a base policy, or with a record that is not ours, the device is shut and can be mended", async (t) => {
  const rig = lockdownRig(null);
  rig.files.contents.set("lockdown.json", Buffer.from('{"confirmed":{"open":true},"v":1}'));
  const lockdown = await rig.open();
  t.equal(lockdown.inForce()?.mode, "shut");
  t.equal(rig.faults[0]?.code, "schema.invalid");
  await lockdown.confirm(lockdownOrder(await lockdown.propose(policyBytes(), 7)));
  t.equal(at(lockdown), "confirmed");
});

test("[LCK-5] changes of the table by others are undone, and so are a new controller's default and a new device without a rule", async (t) => {
  const rig = lockdownRig();
  const lockdown = await rig.open();
  await lockdown.confirm(lockdownOrder(await lockdown.propose(policyBytes(), 7)));
  const table = rig.firewall.table;
  const loads = rig.firewall.history.length;
  await lockdown.recheck();
  t.equal(rig.firewall.history.length, loads, "nothing to do, nothing done");
  rig.firewall.table = undefined;
  rig.usb.state = {
    controllers: [...rig.usb.state.controllers, { name: "usb2", authorizedDefault: 1 }],
    ports: rig.usb.state.ports,
    devices: [seen("1-1", STICK, false, 9), seen("2-1", BAD_STICK, true)],
  };
  rig.news.length = 0;
  await lockdown.recheck();
  t.same(rig.news, [{ kind: "restored", what: ["packet filter: there is no table"] }], "and recorded, except what is only new");
  t.equal(rig.firewall.table, table);
  t.same(
    rig.usb.state.controllers.map(({ authorizedDefault }) => authorizedDefault),
    [0, 0],
  );
  t.same(authorized(rig), ["1-1"]);
});

test("[LCK-11] the owner of a confirm key can revert a trial at once, and stopping the warden reverts it too", async (t) => {
  const rig = lockdownRig();
  const lockdown = await rig.open();
  const before = rig.firewall.table;
  const trial = await lockdown.propose(policyBytes(), 7);
  await lockdown.revert(lockdownOrder(trial, { verb: "lockdown.revert" }));
  t.match(lockdown.status(), { at: "base", reverted: { reason: "ordered" } });
  await lockdown.propose(policyBytes(), 8);
  await lockdown.stop();
  t.equal(rig.firewall.table, before);
  t.equal(rig.clock.sleeping, 0, "no timer is left");
  t.match(lockdown.status(), { at: "base", reverted: { reason: "stopped" } });
});

test("[LCK-10] the time to confirm is that of the policy", async (t) => {
  const rig = lockdownRig();
  const lockdown = await rig.open();
  await lockdown.propose(policyBytes({ confirmWithinS: 600 }), 7);
  t.equal(rig.clock.nextWakeMs, 600_000);
  t.equal(labPolicy({ confirmWithinS: undefined }).confirmWithinS, 120);
});

test("[LCK-13] a reverted policy is not tried again, not after a restart either; the policy in force and older ones are not tried at all", async (t) => {
  const rig = lockdownRig();
  const lockdown = await rig.open();
  await lockdown.propose(policyBytes(), 7);
  await rig.clock.advance(60_000);
  await t.rejects(lockdown.propose(policyBytes(), 7), { code: "lockdown.unchanged", message: /reverted \(deadline\)/u });
  await t.rejects(lockdown.propose(policyBytes(), 6), { code: "lockdown.unchanged" });
  const again = await rig.open();
  t.match(again.status().reverted, { counter: 7, reason: "deadline" });
  t.equal(rig.news.filter(({ kind }) => kind === "reverted").length, 1, "recorded once");
  await t.rejects(again.propose(policyBytes(), 7), { code: "lockdown.unchanged" });
  await again.confirm(lockdownOrder(await again.propose(policyBytes(), 8)));
  t.equal(again.status().reverted, undefined);
  await t.rejects(again.propose(policyBytes(), 8), { code: "lockdown.unchanged", message: /policy 8 is in force/u });
  const left = await rig.open();
  await left.propose(policyBytes(), 9);
  const cut = await rig.open();
  t.match(cut.status(), { at: "confirmed", counter: 8, reverted: { counter: 9, reason: "restarted" } });
  await t.rejects(cut.propose(policyBytes(), 9), { code: "lockdown.unchanged", message: /restarted/u });
});

test("[LCK-14] changes by others are told apart from what is new and from what never took effect", async (t) => {
  const rig = lockdownRig();
  const lockdown = await rig.open();
  await lockdown.confirm(lockdownOrder(await lockdown.propose(policyBytes(), 7)));
  rig.news.length = 0;
  const { usb } = rig;
  usb.state = {
    controllers: usb.state.controllers.map((one) => ({ ...one, authorizedDefault: 1 })),
    ports: usb.state.ports.map((one) => ({ ...one, disabled: false })),
    devices: usb.state.devices.map((one) => ({ ...one, authorized: true })),
  };
  await lockdown.recheck();
  t.same(rig.news, [
    {
      kind: "restored",
      what: [
        "USB usb1: it authorized new devices by default",
        "USB port 1-2: it was enabled",
        "USB device at 1-3: it was authorized",
      ],
    },
  ]);
  rig.machine = labSnapshot({ hub: [{ address: "198.18.7.9", port: 443 }] });
  await lockdown.recheck();
  t.same(rig.news.slice(1), [{ kind: "enforced", counter: 7 }], "another way to the hub is not a change by others");
});
