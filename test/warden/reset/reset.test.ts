// The factory reset from its order to the record of its end, with the power cut at every step.
import { test } from "tap";
import { type FaultCode } from "../../../hal/fault.ts";
import { resetPlanHash, resetPlanSchema } from "../../../warden/reset/format.ts";
import { isResetUnderWay, type ResetService } from "../../../warden/reset/index.ts";
import { check } from "../../../hal/format/schema.ts";
import { OLD_KEY, type ResetDevice, resetDevice } from "../../lab/worlds/reset.ts";
import { faultOf } from "../../lab/runner/faults.ts";

const DONE = ["reset.ordered ok", "reset.done ok"];

async function order(service: ResetService, by = "ada@acme"): Promise<void> {
  const planHash = service.order.planHash();
  await service.order.execute({ by, planHash });
}

/** Switches on, as often as it takes, until nothing is under way. */
async function toTheEnd(device: ResetDevice, boots = 10): Promise<ResetService> {
  let service = await device.powerOn();
  for (let n = 0; n < boots; n++) {
    const current = service;
    await device.until(() => !isUnderWay(current));
    if (!device.isOff) return service;
    service = await device.powerOn();
  }
  return service;
}

const isUnderWay = (service: ResetService): boolean => service.troubles().some(({ code }) => code === "reset.under-way");

test("[ID-58] an order is recorded and witnessed, the chip is handed back, and the next boot finds the device wiped", async (t) => {
  const device = resetDevice();
  const service = await device.powerOn();
  await order(service);
  t.match(service.troubles(), [{ code: "reset.under-way" }]);
  t.equal((await faultOf(async () => service.order.planHash())).code, "reset.busy", "one at a time");
  await device.until(() => false);
  t.same(device.did, { ...device.did, releases: 1, restarts: 1, wipes: 0 });
  t.equal(Buffer.from(device.marker.contents.get("reset") ?? []).toString(), "wipe\n");
  const next = await toTheEnd(device);
  t.same(device.events(), DONE);
  t.match(device.trail[0], {
    principal: "ada@acme",
    detail: { planHash: /^sha256:/u, chip: "ours", protection: "tpm", keyFingerprint: OLD_KEY },
  });
  t.match(device.trail[1], { principal: "ada@acme", detail: { left: 0, free: "discarded", chip: "handed back" } });
  t.equal(device.did.wipes, 1);
  t.same([device.state.contents.size, device.marker.contents.size], [0, 0], "nothing of it is left");
  t.same(next.troubles(), []);
});

test("[ID-58] [STA-1] wherever the power is cut, the reset ends, or was never ordered; nothing is wiped twice", async (t) => {
  for (const when of ["before", "after"] as const) {
    for (let n = 1; n < 40; n++) {
      const device = resetDevice();
      const service = await device.powerOn();
      device.cutAt(n, when);
      const ordering = order(service);
      await Promise.race([ordering, device.clock.advance(0)]);
      await device.until(() => !isUnderWay(service));
      const last = await toTheEnd(device);
      const label = `cut ${when} act ${n}`;
      t.notOk(isUnderWay(last), `${label}: it ended`);
      t.same([device.state.contents.size, device.marker.contents.size], [0, 0], `${label}: nothing of it is left`);
      const wasOrdered = device.did.wipes > 0;
      t.ok(device.did.wipes <= 1, `${label}: wiped once at most`);
      if (wasOrdered) t.same([...new Set(device.events())].toSorted(), DONE.toSorted(), label);
      else t.ok(n <= 2, `${label}: only an order that is not on disk is forgotten`);
      t.ok(device.did.releases <= 2, label);
      if (device.did.acts >= n) continue;
      t.ok(n > 8, "every act of the device had its cut");
      break;
    }
  }
});

test("[ID-58] a warden that is killed goes on in the same boot", async (t) => {
  const device = resetDevice();
  const service = await device.powerOn();
  device.is.witnesses = false;
  await order(service);
  await device.clock.advance(5000);
  t.equal(device.did.releases, 0, "it still waits for the hub");
  await service.stop();
  const again = await device.restartWarden();
  await device.until(() => false);
  t.same([device.did.releases, device.did.restarts], [1, 1], "the hub that never came holds up nothing");
  await again.stop();
  await toTheEnd(device);
  t.same([...new Set(device.events())], DONE);
});

test("[ID-58] a chip that is gone, locked, silent or others' holds up nothing, and it is said what remains", async (t) => {
  const cases: readonly (readonly [readonly FaultCode[], number])[] = [
    [["tpm.missing"], 1],
    [["tpm.owned-by-others"], 1],
    [["tpm.locked-out", "tpm.locked-out", "tpm.locked-out"], 3],
    [["tpm.busy", "tpm.locked-out"], 3],
  ];
  for (const [faults, tries] of cases) {
    const device = resetDevice();
    device.chipFaults.push(...faults);
    await order(await device.powerOn());
    await device.until(() => false);
    t.equal(device.did.releases, tries, faults.join());
    const isBack = faults.length < tries;
    t.same(
      device.events().slice(1),
      faults.map(() => "reset.chip-kept failed"),
    );
    const last = await toTheEnd(device);
    t.equal(device.did.wipes, 1);
    const done = device.trail.at(-1);
    t.match(done, {
      event: "reset.done",
      result: isBack ? "ok" : "failed",
      detail: { chip: isBack ? "handed back" : /^still ours: tpm\./u },
    });
    t.match(last.troubles(), isBack ? [] : [{ code: "reset.failed", message: /the TPM was not handed back/u }]);
  }
  const silent = resetDevice();
  silent.is.chipHangs = true;
  await order(await silent.powerOn());
  await silent.until(() => false);
  t.equal(silent.did.restarts, 1, "three bounded tries, and then the restart");
  const none = resetDevice();
  none.is.hasChip = false;
  await order(await none.powerOn());
  await none.until(() => false);
  await toTheEnd(none);
  t.same(none.events(), ["reset.ordered ok", "reset.done ok"]);
});

test("[ID-58] a system that does not run the wipe is restarted in three boots, then keeps its identity and says so", async (t) => {
  const device = resetDevice();
  device.is.wipes = false;
  await order(await device.powerOn());
  await device.until(() => false);
  const last = await toTheEnd(device);
  t.equal(device.did.restarts, 3);
  t.same(device.events().slice(-1), ["reset.failed failed"]);
  t.match(last.troubles(), [{ code: "reset.failed", message: /nothing wiped the data in 3 boots/u }]);
  t.same([device.state.contents.size, device.marker.contents.size], [0, 0], "no later release wipes it by surprise");
  t.match(last.order.planHash(), /^sha256:/u, "the owner may order it again");
});

test("[ID-59] a marker that root wrote by hand is recorded without an order, and files that are left are said", async (t) => {
  const device = resetDevice();
  device.marker.contents.set("reset", Buffer.from("by hand\n"));
  device.is.said = "left 3\nfree untouched\n";
  const service = await device.powerOn();
  await device.until(() => !isUnderWay(service));
  t.match(device.trail, [
    { event: "reset.done", result: "failed", detail: { left: 3, free: "untouched", chip: "none of ours" } },
  ]);
  t.notOk(device.trail[0]?.principal);
  t.match(service.troubles(), [{ code: "reset.failed", message: /3 files could not be removed/u }]);
  for (const said of ["", "left x", "left 0\nfree everything\n", "x".repeat(300)]) {
    const odd = resetDevice();
    odd.state.contents.set("reset.wiped", Buffer.from(said));
    const opened = await odd.powerOn();
    await odd.until(() => !isUnderWay(opened));
    t.match(odd.trail, [{ event: "reset.done" }], JSON.stringify(said));
    t.notOk(odd.state.contents.has("reset.wiped"));
  }
});

test("[ID-57] the plan names device, key, chip and release; what changes changes the hash, and the order does not count", async (t) => {
  const device = resetDevice();
  const service = await device.powerOn();
  const { plan, planHash } = await service.verbs["reset.plan"]({});
  t.same(check(resetPlanSchema, plan, "plan"), plan);
  t.equal(planHash, resetPlanHash(plan));
  t.match(plan, {
    deviceId: "GW-4711",
    identity: { protection: "tpm", keyFingerprint: OLD_KEY },
    chip: "ours",
    version: "2.4.1",
  });
  t.equal(service.order.planHash(), planHash);
  device.is.born = undefined;
  t.equal((await faultOf(() => service.order.execute({ by: "ada", planHash }))).code, "order.invalid");
  t.equal(device.state.contents.size, 0, "nothing is recorded");
  t.match(await service.verbs["reset.plan"]({}), { plan: { identity: null } });
});

test("[ID-57] no reset begins while a release is under way, or where its order cannot be recorded", async (t) => {
  const device = resetDevice();
  const service = await device.powerOn();
  for (const phase of ["fetching", "verified", "written", "trying", "committing", "rolling-back"] as const) {
    device.is.update = { phase };
    t.equal((await faultOf(async () => service.order.planHash())).code, "reset.busy", phase);
  }
  for (const phase of ["idle", "committed", "rolled-back", "failed"] as const) {
    device.is.update = { phase };
    t.match(service.order.planHash(), /^sha256:/u, phase);
  }
  device.state.faults.failAlways("file.no-space");
  t.equal((await faultOf(() => order(service))).code, "file.no-space");
  device.state.faults.heal();
  t.same(service.troubles(), []);
  await order(service);
  t.ok(await isResetUnderWay(device.state, device.marker));
});

test("[STA-4] a record that cannot be read carries out no reset, and the next order replaces it", async (t) => {
  for (const bytes of ["", "{", '{"at":"marked","v":1}', `{"at":"later","readable":9,"v":9}`]) {
    const device = resetDevice();
    device.state.contents.set("reset.json", Buffer.from(bytes));
    const service = await device.powerOn();
    t.same(service.troubles(), [], bytes);
    await order(service);
    await device.until(() => false);
    await toTheEnd(device);
    t.same(device.events(), DONE, bytes);
  }
});
