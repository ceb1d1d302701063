// The dead man's switch of a policy trial, and what else does not wait for requests.
import { test } from "tap";
import type { Fault } from "../../../hal/fault.ts";
import { SWITCH_GRACE_MS } from "../../../warden/lockdown/limits.ts";
import { watchLockdown } from "../../../warden/lockdown/watch.ts";
import { fakeClock } from "../../lab/fakes/clock.ts";
import { lockdownOrder, lockdownRig, policyBytes } from "../../lab/worlds/lockdown.ts";

test("[LCK-15] the switch is armed with the table in force before the first change, and anew once the time to confirm runs", async (t) => {
  const rig = lockdownRig();
  const lockdown = await rig.open();
  const base = rig.firewall.table;
  const armedAtChange: (string | undefined)[] = [];
  const { replace } = rig.firewall;
  rig.firewall.replace = async (table) => {
    armedAtChange.push(rig.deadManSwitch.armed?.table);
    return await replace(table);
  };
  await lockdown.propose(policyBytes(), 7);
  t.same(armedAtChange, [base]);
  t.match(rig.deadManSwitch.armed, { table: base, afterMs: 60_000 + SWITCH_GRACE_MS });
});

test("[LCK-15] the end of a trial disarms it: confirmed, ordered back, stopped, or past its deadline", async (t) => {
  for (const end of ["confirm", "revert", "stop", "deadline"] as const) {
    const rig = lockdownRig();
    const lockdown = await rig.open();
    const trial = await lockdown.propose(policyBytes(), 7);
    const tables: (string | undefined)[] = [];
    const original = { ...rig.deadManSwitch };
    rig.deadManSwitch.disarm = async () => {
      tables.push(rig.firewall.table);
      return await original.disarm();
    };
    if (end === "confirm") await lockdown.confirm(lockdownOrder(trial));
    if (end === "revert") await lockdown.revert(lockdownOrder(trial, { verb: "lockdown.revert" }));
    if (end === "stop") await lockdown.stop();
    if (end === "deadline") await rig.clock.advance(60_000);
    t.equal(rig.deadManSwitch.armed, undefined, end);
    t.same(tables, [rig.firewall.table], `${end}: only when the table that stays is in force`);
    t.notOk(rig.news.some(({ kind }) => kind === "switch-fired"));
  }
});

test("[LCK-15] without a switch no policy is tried", async (t) => {
  const rig = lockdownRig();
  const lockdown = await rig.open();
  const base = rig.firewall.table;
  rig.deadManSwitch.refuse();
  await t.rejects(lockdown.propose(policyBytes(), 7), { code: "file.no-space" });
  t.equal(rig.firewall.table, base);
  t.match(lockdown.status(), { at: "base", reverted: { reason: "file.no-space" } });
});

test("[LCK-15] a warden that comes too late finds that the switch has fired, records it, and does not put the policy back", async (t) => {
  const rig = lockdownRig();
  let lateMs = 0;
  const lockdown = await rig.open({ clock: { ...rig.clock, monotonicMs: () => rig.clock.monotonicMs() + lateMs } });
  const base = rig.firewall.table;
  await lockdown.propose(policyBytes(), 7);
  const tried = rig.firewall.table;
  rig.firewall.table = rig.deadManSwitch.fire().table;
  const before = rig.firewall.history.length;
  lateMs = 62_000; // the timer has not run yet
  await lockdown.recheck();
  t.equal(rig.firewall.table, base);
  t.notOk(rig.firewall.history.slice(before).includes(tried ?? ""), "not for a moment");
  t.match(lockdown.status(), { at: "base", reverted: { reason: "deadline" } });
  t.match(
    rig.news.map(({ kind }) => kind).filter((kind) => kind === "switch-fired"),
    ["switch-fired"],
  );
});

test("[LCK-15] a start finds that the switch of an earlier warden has fired, and records it once", async (t) => {
  const rig = lockdownRig();
  await (await rig.open()).propose(policyBytes(), 7); // and that warden is gone
  rig.firewall.table = rig.deadManSwitch.fire().table;
  rig.news.length = 0;
  await rig.open();
  await rig.open();
  t.equal(rig.news.filter(({ kind }) => kind === "switch-fired").length, 1);
});

test("[OPS-11] the deadline comes before requests that wait for the lockdown", async (t) => {
  const rig = lockdownRig();
  const held = Promise.withResolvers<void>();
  const holding: { now: boolean } = { now: false };
  const order: string[] = [];
  const lockdown = await rig.open({
    readFacts: async () => {
      if (holding.now) await held.promise;
      if (rig.machine === undefined) throw new RangeError("as planned");
      return rig.machine;
    },
    audit: ({ kind }) => void order.push(kind),
  });
  await lockdown.propose(policyBytes(), 7);
  order.length = 0;
  holding.now = true;
  const previews = Array.from({ length: 5 }, () => lockdown.preview(policyBytes()).then(() => order.push("preview")));
  await rig.clock.advance(60_000);
  holding.now = false;
  held.resolve();
  await Promise.all(previews);
  t.same(order.slice(0, 2), ["preview", "reverted"], "after the one that runs, before the four that wait");
});

test("[OPS-11] the heartbeat comes with each turn of the watch, and stops with a lockdown that hangs", async (t) => {
  const clock = fakeClock();
  const ending = new AbortController();
  t.teardown(() => ending.abort());
  const faults: Fault[] = [];
  let beats = 0;
  let hangs = false;
  void watchLockdown(
    {
      lockdown: {
        recheck: () => (hangs ? new Promise<void>(() => undefined) : Promise.resolve()),
        status: () => ({ at: "base", counter: undefined, planHash: undefined, trial: undefined, reverted: undefined }),
        devices: () => [],
        notKnown: () => [],
      },
      usb: { plugged: async () => "" },
      usbEvents: undefined,
      clock,
      trail: { devices: () => undefined, missed: () => undefined, notKnown: () => undefined },
      report: (fault) => void faults.push(fault),
      onTurn: () => void (beats += 1),
    },
    ending.signal,
  );
  for (let n = 0; n < 10; n++) await clock.advance(1000);
  t.ok(beats >= 10, `${beats} beats`);
  hangs = true;
  for (let n = 0; n < 6; n++) await clock.advance(1000);
  const before = beats;
  for (let n = 0; n < 60; n++) await clock.advance(1000);
  t.equal(beats, before);
});
