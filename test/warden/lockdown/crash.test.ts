// A warden that dies at every step of a trial and starts again on what it left.
import { join } from "node:path";
import { test } from "tap";
import { linuxFiles } from "../../../hal/linux/files/index.ts";
import type { Fault } from "../../../hal/fault.ts";
import type { LockdownPorts } from "../../../warden/lockdown/index.ts";
import { planLockdown } from "../../../warden/lockdown/plan/index.ts";
import { crashDisk, crashStates, restore } from "../../lab/fakes/crash-disk.ts";
import { labPolicy, labSnapshot, lockdownOrder, type LockdownRig, lockdownRig, policyBytes } from "../../lab/worlds/lockdown.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const NEW_TABLE = planLockdown(labPolicy(), labSnapshot()).firewall;

/**
 * Ports of a program that is killed at its n-th change of the world: before that change, or after
 * it and before it learns of it.
 */
function killedAt(
  rig: LockdownRig,
  n: number,
  when: "before" | "after",
): { ports: Partial<LockdownPorts>; changes: () => number; dead: Promise<void> } {
  let changes = 0;
  let die = (): void => undefined;
  const dead = new Promise<void>((resolve) => {
    die = resolve;
  });
  const never = (): Promise<never> => {
    die();
    return new Promise(() => undefined);
  };
  const change = async <T>(act: () => Promise<T>): Promise<T> => {
    changes += 1;
    if (changes > n || (changes === n && when === "before")) return await never();
    const result = await act();
    return changes === n ? await never() : result;
  };
  const { files, firewall, usb } = rig;
  const ports = {
    files: { ...files, put: (name: string, bytes: Uint8Array) => change(() => files.put(name, bytes)) },
    firewall: { ...firewall, read: () => firewall.read(), replace: (table: string) => change(() => firewall.replace(table)) },
    usb: {
      read: () => usb.read(),
      plugged: () => usb.plugged(),
      setDefault: (...args: Parameters<typeof usb.setDefault>) => change(() => usb.setDefault(...args)),
      setDevice: (...args: Parameters<typeof usb.setDevice>) => change(() => usb.setDevice(...args)),
      setPort: (...args: Parameters<typeof usb.setPort>) => change(() => usb.setPort(...args)),
    },
  };
  return { ports, changes: () => changes, dead };
}

/** One run of the program: the base policy, a trial, its confirmation or its end. */
async function live(rig: LockdownRig, ports: Partial<LockdownPorts>, confirmed: boolean): Promise<void> {
  const lockdown = await rig.open(ports);
  const trial = await lockdown.propose(policyBytes(), 7);
  if (confirmed) await lockdown.confirm(lockdownOrder(trial));
  else await rig.clock.advance(60_000);
}

for (const confirmed of [true, false])
  for (const when of ["before", "after"] as const)
    test(`[LCK-11] killed ${when} any change of a trial that ends ${confirmed ? "confirmed" : "reverted"}: never on trial again, never in between`, async (t) => {
      const whole = lockdownRig();
      const counted = killedAt(whole, Number.POSITIVE_INFINITY, when);
      await live(whole, counted.ports, confirmed);
      t.ok(counted.changes() > 8, `${counted.changes()} changes`);
      for (let n = 1; n <= counted.changes(); n++) {
        const rig = lockdownRig();
        const { ports, dead } = killedAt(rig, n, when);
        await Promise.race([live(rig, ports, confirmed), dead]);
        rig.news.length = 0;
        const lockdown = await rig.open();
        const { at, counter, trial } = lockdown.status();
        const isNew = at === "confirmed" && counter === 7;
        t.ok(isNew || at === "base", `change ${n}: ${at}`);
        t.equal(trial, undefined);
        t.equal(rig.firewall.table, lockdown.inForce()?.firewall, "the plan is in force");
        t.equal(rig.firewall.table === NEW_TABLE, isNew, "the new table only where it was confirmed");
        t.equal(
          rig.usb.state.devices.some((device) => device.authorized),
          isNew,
          "and the stick of that policy",
        );
        t.notOk(isNew && !confirmed, "nobody confirmed it");
        const record = Buffer.from(rig.files.contents.get("lockdown.json") ?? []).toString();
        t.notMatch(record, "pending", "settled on disk too");
        const reverts = rig.news.filter(({ kind }) => kind === "reverted");
        t.ok(reverts.every((news) => news.kind === "reverted" && news.reason === "restarted"));
      }
    });

test("[LCK-10] after a power cut at any operation of the disk, a start finds the confirmed policy or the base, and reports it", async (t) => {
  const directory = await temporaryDirectory(t);
  const disk = crashDisk(join(directory, "work"));
  const rig = lockdownRig();
  const lockdown = await rig.open({ files: await linuxFiles(join(directory, "work"), disk.ops) });
  await lockdown.propose(policyBytes(), 6);
  await rig.clock.advance(60_000);
  const trial = await lockdown.propose(policyBytes(), 7);
  const beforeConfirmed = disk.changes.length;
  await lockdown.confirm(lockdownOrder(trial));
  const confirmedAt = disk.changes.length;
  await lockdown.propose(policyBytes({ name: "second" }), 8);
  let states = 0;
  for (let cut = 0; cut <= disk.changes.length; cut++)
    for (const state of crashStates(disk.changes.slice(0, cut))) {
      states += 1;
      restore(state, join(directory, "disk"));
      const faults: Fault[] = [];
      const after = await lockdownRig().open({
        files: await linuxFiles(join(directory, "disk")),
        report: (fault) => void faults.push(fault),
      });
      const { at, counter } = after.status();
      const fine = at === "base" ? cut < confirmedAt : at === "confirmed" && counter === 7 && cut > beforeConfirmed;
      if (!fine || faults.length > 0) t.fail(`cut after change ${cut}: ${at} ${counter} ${faults[0]?.message ?? ""}`);
    }
  t.ok(states > 50, `${states} states of the disk`);
});
