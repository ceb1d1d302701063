// A release from the repository to the committed system, and the rollback of an unhealthy one.
import { readFile, stat } from "node:fs/promises";
import { test } from "tap";
import { eventually } from "../../lab/runner/process.ts";
import { eventsOf, lastOf, updatedBoard } from "../../lab/worlds/updates.ts";

const phase = (updates: { status(): { phase: string } }): string => updates.status().phase;

test("[OTA-41] [OTA-43] a signed release is brought, written, tried and committed, and the floor rises", async (t) => {
  const board = await updatedBoard(t);
  const { target, image } = await board.release(2, { kernel: true });
  let updates = await board.start();
  t.match(updates.status(), { phase: "idle", running: "a", version: "1.0" });
  await board.carry(updates, target);
  await until(() => phase(updates) === "trying");
  t.match(
    updates.status(),
    { phase: "trying", release: { target, counter: 2 }, slot: "b" },
    "it is tried without an order: here a signature is enough",
  );
  t.ok(image.equals(await readFile(board.slot("b"))), "the slot holds the image");
  t.ok((await stat(`${board.slot("b").slice(0, -4)}.kernel`)).size === 40_000, "and the kernel part");
  t.equal(await board.floor(), undefined, "no floor rises before the commit");

  updates = await board.reboot();
  t.match(updates.status(), { phase: "trying", running: "b" });
  t.ok(
    updates.status().health?.every(({ verdict }) => verdict === "waiting"),
    "no check passes by itself",
  );
  Object.assign(board.shown, { agent: true, lockdown: "passed" });
  updates.nudge();
  await t.resolves(until(() => updates.status().health?.filter(({ verdict }) => verdict === "passed").length === 2));
  t.equal(phase(updates), "trying", "not before the hub was heard too");
  board.shown.hub = true;
  updates.nudge();
  await until(() => phase(updates) === "committed");
  await until(() => updates.floors().get("os") === 1);
  t.equal(await board.floor(), 1, "the counter that it replaced, so that the other slot stays usable");
  t.equal(await readFile(`${board.root}/slots/boot-choice`, "utf8"), "b\n");
  t.same(eventsOf(board), ["update.begun", "update.written", "update.trying", "system.rebooting", "update.committed"]);
  t.match(lastOf(board, "system.rebooting"), { detail: { reason: `try "${target}" in slot b` } });

  updates = await board.powerCycle();
  t.match(updates.status(), { phase: "committed", running: "b" });
  await t.rejects(board.begin(updates, target), { code: "update.refused", message: /is the running system/u });
  t.same(board.faults, []);
});

test("[OTA-60] the new system gets the time that its own configuration allows, as its timer does", async (t) => {
  const settings = { trialMs: 600_000 };
  const board = await updatedBoard(t, settings);
  const { target } = await board.release(2);
  await board.carry(await board.start(), target);
  settings.trialMs = 1;
  const updates = await board.reboot();
  await until(() => phase(updates) === "rolling-back");
  t.equal(phase(updates), "rolling-back");
});

test("[OTA-60] [OTA-43] a system that is not healthy by its deadline is rolled back with a reason, and needs an order to be taken up again", async (t) => {
  const board = await updatedBoard(t, { trialMs: 1 });
  const { target, planHash } = await board.release(2);
  await board.carry(await board.start(), target);
  board.shown.agent = true;
  let updates = await board.reboot();
  t.match(updates.status(), { running: "b" });
  await until(() => phase(updates) === "rolling-back");
  updates = await board.reboot();
  t.match(updates.status(), { phase: "rolled-back", running: "a", reason: { why: "deadline" } });
  t.match(lastOf(board, "update.rolled-back"), {
    result: "failed",
    detail: { target, why: "deadline", health: "agent passed, hub waiting, lockdown waiting" },
  });
  t.equal(await board.floor(), undefined);

  await t.rejects(board.begin(updates, target), { code: "update.refused", message: /rolled back before/u });
  t.match(lastOf(board, "update.refused"), { result: "refused", detail: { target, code: "update.refused" } });
  t.equal(updates.orders["update.approve"].planHash(), planHash);
  await t.rejects(updates.orders["update.approve"].execute({ planHash: `sha256:${"0".repeat(64)}`, by: "olga" }), {
    code: "update.not-waiting",
  });
  await updates.orders["update.approve"].execute({ planHash, by: "olga" });
  updates = await board.restart();
  await board.carry(updates, target);
  await until(() => phase(updates) === "trying");
  t.equal(phase(updates), "trying", "the order is remembered");
  updates = await board.reboot();
  await until(() => phase(updates) === "rolling-back");
  updates = await board.reboot();
  await t.rejects(board.begin(updates, target), { code: "update.refused" }, "and it counts once");
});

test("[OTA-66] where an order is required a written release waits for it, and an unhealthy one is rolled back at once", async (t) => {
  const board = await updatedBoard(t, { approval: "order" });
  const { target, planHash } = await board.release(2);
  let updates = await board.start();
  t.match(await board.carry(updates, target), { phase: "written", awaitsOrder: planHash });
  updates = await board.restart();
  t.match(updates.status(), { phase: "written", awaitsOrder: planHash }, "after a restart too");
  t.equal(await readFile(`${board.root}/slots/boot-choice`, "utf8"), "a\n", "nothing is tried");
  await updates.orders["update.approve"].execute({ planHash, by: "olga" });
  await until(() => phase(updates) === "trying");
  updates = await board.reboot();
  board.shown.lockdown = "failed";
  updates.nudge();
  await until(() => phase(updates) === "rolling-back");
  updates = await board.reboot();
  t.match(updates.status(), { phase: "rolled-back", running: "a", reason: { why: "unhealthy", detail: /lockdown failed/u } });
  await t.rejects(updates.orders["update.revert"].execute({ by: "olga" }), { code: "update.not-waiting" });
});

async function until(holds: () => boolean): Promise<void> {
  await eventually("the update goes on", async () => (holds() ? true : undefined));
}
