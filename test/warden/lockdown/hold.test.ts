// Doors that are held shut for a reason outside of the policy. [ID-72]
import { test } from "tap";
import type { Lockdown } from "../../../warden/lockdown/index.ts";
import { staysOpen } from "../../../warden/lockdown/plan/index.ts";
import { labSnapshot, lockdownOrder, lockdownRig, policyBytes } from "../../lab/worlds/lockdown.ts";

const authorized = (rig: ReturnType<typeof lockdownRig>): readonly string[] =>
  rig.usb.state.devices.filter((device) => device.authorized).map(({ port }) => port);

const open = (lockdown: Lockdown): string => {
  const plan = lockdown.inForce();
  return plan === undefined ? "no plan" : staysOpen(plan).join("; ");
};

async function confirmed(rig: ReturnType<typeof lockdownRig>): Promise<Lockdown> {
  const lockdown = await rig.open();
  await lockdown.confirm(lockdownOrder(await lockdown.propose(policyBytes(), 7)));
  return lockdown;
}

test("[ID-72] held, everything that the confirmed policy opens is shut, and the way to the hub, its names, DHCP and the console stay", async (t) => {
  const rig = lockdownRig();
  const lockdown = await confirmed(rig);
  const before = { table: rig.firewall.table, usb: authorized(rig), open: open(lockdown) };
  t.match(before.open, /8080/u);
  t.same(before.usb, ["1-1"]);
  rig.news.length = 0;
  await lockdown.hold("key.tpm-missing");
  const plan = lockdown.inForce();
  t.equal(plan?.mode, "shut");
  t.same(authorized(rig), []);
  t.notMatch(open(lockdown), /8080/u);
  t.same(plan?.networkRules.map(({ why }) => why).sort(), ["dhcp", "dhcp", "hub", "name-service", "name-service"]);
  t.same(plan?.links, [{ name: "eth0", dhcp4: true, dhcp6: false, ipv6: true }], "by the policy's own links");
  t.equal(plan?.serial.console, "ttyS0");
  t.match(lockdown.status(), { at: "confirmed", counter: 7, held: "key.tpm-missing" });
  t.same(rig.news, [{ kind: "enforced", counter: 7 }]);
  await lockdown.recheck();
  t.equal(lockdown.inForce()?.mode, "shut", "the watch keeps them shut");
  await lockdown.hold(undefined);
  t.same({ table: rig.firewall.table, usb: authorized(rig), open: open(lockdown) }, before, "and all opens again");
  t.equal(lockdown.status().held, undefined);
});

test("[ID-72] a policy on trial is reverted, none is tried meanwhile, and one may be afterwards", async (t) => {
  const rig = lockdownRig();
  const lockdown = await rig.open();
  const trial = await lockdown.propose(policyBytes(), 7);
  await lockdown.hold("key.not-this-board");
  t.match(lockdown.status(), { at: "base", held: "key.not-this-board", reverted: { reason: "key.not-this-board" } });
  t.equal(lockdown.inForce()?.mode, "shut");
  await t.rejects(lockdown.confirm(lockdownOrder(trial)), { code: "lockdown.not-pending" });
  await t.rejects(lockdown.propose(policyBytes(), 8), { code: "lockdown.busy", message: /key\.not-this-board/u });
  t.equal(rig.clock.sleeping, 0, "no deadline runs");
  await lockdown.hold(undefined);
  t.equal(lockdown.inForce()?.mode, "enforce");
  await lockdown.confirm(lockdownOrder(await lockdown.propose(policyBytes(), 8)));
  t.match(lockdown.status(), { at: "confirmed", counter: 8 });
});

test("[ID-72] a start that is held opens nothing at any moment, with a confirmed policy and with the image's", async (t) => {
  for (const withPolicy of [true, false]) {
    const rig = lockdownRig();
    if (withPolicy) await confirmed(rig);
    const earlier = rig.firewall.history.length;
    const lockdown = await rig.open({}, "key.tpm-unavailable");
    t.equal(lockdown.inForce()?.mode, "shut");
    t.same(
      new Set(rig.firewall.history.slice(earlier)),
      new Set([lockdown.inForce()?.firewall]),
      "one table, and it is the shut one",
    );
    t.same(authorized(rig), []);
    t.match(lockdown.status(), { at: withPolicy ? "confirmed" : "base", held: "key.tpm-unavailable" });
    await lockdown.hold(undefined);
    t.equal(lockdown.inForce()?.mode, "enforce");
  }
});

test("[ID-72] held without any policy it is as shut as before, and one that cannot be put in force is tried again", async (t) => {
  const rig = lockdownRig(null);
  const lockdown = await rig.open();
  const before = rig.firewall.table;
  await lockdown.hold("key.tpm-missing");
  t.equal(rig.firewall.table, before);

  const broken = lockdownRig();
  const again = await confirmed(broken);
  broken.machine = undefined;
  await again.hold("key.tpm-missing");
  t.match(again.status(), { at: "shut", held: "key.tpm-missing" });
  broken.machine = labSnapshot();
  await broken.clock.advance(60_000);
  t.match(again.status(), { at: "confirmed", held: "key.tpm-missing" });
  t.equal(again.inForce()?.mode, "shut");
  await again.stop();
});
