// What the warden tells the dead man's switch about USB, and when.
import { test } from "tap";
import type { UsbDevice } from "../../../hal/ports.ts";
import { KEYBOARD, type Plugged, STICK } from "../../lab/fakes/usb-tree.ts";
import { labPolicy, lockdownOrder, lockdownRig, type LockdownRig, policyBytes, seen } from "../../lab/worlds/lockdown.ts";

const outbound = [{ protocol: "udp", ports: [53], to: "any" }];
const rule = ({ vendor, product, interfaces, serial }: Plugged, withSerial = true) => ({
  vendor,
  product,
  interfaces,
  ...(withSerial && serial !== undefined ? { serial } : {}),
});
const allowing = (...allow: readonly object[]) => ({ usb: { allow } });

/** `before` is the image's policy. Notes what the switch knows at each authorization. */
function rigWith(before: Readonly<Record<string, unknown>>) {
  const rig = lockdownRig(labPolicy({ network: { outbound }, ...before }));
  const opened: { readonly port: string; readonly listed: boolean }[] = [];
  const original = { ...rig.usb };
  rig.usb.setDevice = async (device, authorized) => {
    if (authorized) opened.push({ port: device.port, listed: isListed(rig, device) });
    await original.setDevice(device, authorized);
  };
  return { rig, opened };
}

function isListed({ deadManSwitch }: LockdownRig, { port, number }: Pick<UsbDevice, "port" | "number">): boolean {
  return deadManSwitch.armed?.devices.some((one) => one.port === port && one.number === number) === true;
}

function plug({ usb }: LockdownRig, ...devices: readonly UsbDevice[]): void {
  const ports = devices.map(({ port }) => port);
  usb.state = { ...usb.state, devices: [...usb.state.devices.filter(({ port }) => !ports.includes(port)), ...devices] };
}

const authorizedAt = ({ usb }: LockdownRig): readonly string[] =>
  usb.state.devices.filter(({ authorized }) => authorized).map(({ port }) => port);

test("[LCK-21] the switch knows of a device before the policy on trial lets it in, also of one that is plugged in later", async (t) => {
  const { rig, opened } = rigWith({ usb: {} });
  const lockdown = await rig.open();
  const trial = await lockdown.propose(policyBytes(allowing(rule(STICK), rule(KEYBOARD))), 7);
  t.same(opened, [
    { port: "1-1", listed: true },
    { port: "1-3", listed: true },
  ]);
  t.equal(rig.deadManSwitch.calls.filter((call) => call.startsWith("arm ")).length, 2, "in the list from the beginning");
  plug(rig, seen("1-1", STICK, false, 9));
  await lockdown.recheck();
  t.same(opened.at(-1), { port: "1-1", listed: true });
  t.same(rig.deadManSwitch.armed?.devices, [
    { port: "1-3", number: 3 },
    { port: "1-1", number: 9 },
  ]);
  t.equal(rig.deadManSwitch.armed?.table, rig.firewall.history[0], "what it falls back to stays");
  await lockdown.confirm(lockdownOrder(trial));
  plug(rig, seen("1-1", STICK, false, 12));
  await lockdown.recheck();
  t.same(opened.at(-1), { port: "1-1", listed: false }, "a confirmed policy has no switch");
  t.equal(rig.deadManSwitch.armed, undefined);
});

test("[LCK-21] a later list does not put the deadline off", async (t) => {
  const { rig } = rigWith({ usb: {} });
  const lockdown = await rig.open();
  await lockdown.propose(policyBytes(allowing(rule(STICK), rule(KEYBOARD))), 7);
  await rig.clock.advance(40_000);
  plug(rig, seen("1-1", STICK, false, 9));
  await lockdown.recheck();
  t.equal(rig.deadManSwitch.armed?.afterMs, 22_000, "60 s and the grace of 2 s, less 40 s");
});

test("[LCK-21] what the policy before allows too is never in the list: from before, plugged in anew, or copied", async (t) => {
  const { rig, opened } = rigWith(allowing(rule(KEYBOARD), rule(STICK)));
  const lockdown = await rig.open();
  // the policy on trial takes every such stick, whatever its serial number is
  await lockdown.propose(policyBytes(allowing(rule(KEYBOARD), rule(STICK, false))), 7);
  t.same(rig.deadManSwitch.armed?.devices, []);
  plug(rig, seen("1-3", KEYBOARD, false, 11));
  await lockdown.recheck();
  t.same(opened.at(-1), { port: "1-3", listed: false });
  plug(rig, seen("1-2", STICK, false, 12));
  await lockdown.recheck();
  t.same(opened.at(-1), { port: "1-2", listed: true }, "the copy is of the trial alone");
  t.same(rig.deadManSwitch.armed?.devices, [{ port: "1-2", number: 12 }], "the device that had the number first is not cut");
});

test("[LCK-21] a port that the policy before disables is disabled again", async (t) => {
  const { rig } = rigWith({ usb: { disable: ["1-2", "1-3"] } });
  const lockdown = await rig.open();
  await lockdown.propose(policyBytes({ usb: { disable: ["1-3"] } }), 7);
  t.same(rig.deadManSwitch.armed?.ports, ["1-2"]);
  t.equal(rig.deadManSwitch.calls.filter((call) => call.startsWith("arm ")).length, 2, "in the list from the beginning");
  // a hub that is plugged in later has a port that the policy before disables too
  const later = rigWith({ usb: { disable: ["1-1.2"] } }).rig;
  const trying = await later.open();
  await trying.propose(policyBytes({ usb: {} }), 7);
  later.usb.state = { ...later.usb.state, ports: [...later.usb.state.ports, { name: "1-1.2", disabled: true, peer: undefined }] };
  await trying.recheck();
  t.same(later.deadManSwitch.armed?.ports, ["1-1.2"]);
  t.equal(later.usb.state.ports.at(-1)?.disabled, false);
});

test("[LCK-21] a device that cannot be listed is not let in, and is with the next check", async (t) => {
  const { rig } = rigWith({ usb: {} });
  const lockdown = await rig.open();
  await lockdown.propose(policyBytes(allowing(rule(STICK))), 7);
  plug(rig, seen("1-1", STICK, false, 9));
  rig.deadManSwitch.refuse();
  await lockdown.recheck();
  t.same(authorizedAt(rig), []);
  t.match(rig.faults.at(-1), { code: "file.no-space" });
  t.equal(lockdown.status().at, "pending");
  await lockdown.recheck();
  t.same(authorizedAt(rig), ["1-1"]);
});

test("[LCK-21] once the switch has fired the trial lets nothing in, and does not go on", async (t) => {
  const { rig, opened } = rigWith({ usb: {} });
  const lockdown = await rig.open();
  await lockdown.propose(policyBytes(allowing(rule(STICK))), 7);
  rig.firewall.table = rig.deadManSwitch.fire().table;
  plug(rig, seen("1-1", STICK, false, 9));
  opened.length = 0;
  await lockdown.recheck();
  t.same(opened, []);
  t.same(authorizedAt(rig), []);
  await rig.clock.advance(60_000);
  t.match(lockdown.status(), { at: "base", reverted: { reason: "deadline" } });
  t.equal(rig.deadManSwitch.armed, undefined);
});

test("[LCK-15] a switch that fires while the policy is being put in force ends the trial at once", async (t) => {
  const rig = lockdownRig();
  const news: string[] = [];
  const lockdown = await rig.open({
    audit: ({ kind }) => {
      news.push(kind);
      // so slow was nft that the switch fires now, before it is armed for the time to confirm
      if (kind === "pending") rig.firewall.table = rig.deadManSwitch.fire().table;
    },
  });
  const base = rig.firewall.table;
  await t.rejects(lockdown.propose(policyBytes(), 7), { code: "lockdown.not-in-force" });
  t.equal(rig.firewall.table, base);
  t.match(lockdown.status(), { at: "base", trial: undefined, reverted: { counter: 7, reason: "deadline" } });
  t.same(
    news.filter((kind) => kind !== "enforced"),
    ["pending", "switch-fired", "reverted"],
  );
});
