// The warden stops or the power fails in any phase of an update: the slot that really boots settles
// it.
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { eventually } from "../../lab/runner/process.ts";
import { updatedBoard } from "../../lab/worlds/updates.ts";
import type { Updates } from "../../../warden/update/index.ts";

async function reaches(updates: Updates, phase: string): Promise<void> {
  await eventually(`the update is ${phase}`, async () => (updates.status().phase === phase ? true : undefined));
}

test("[OTA-35] [OTA-41] an update that is stopped while it is fetched or written starts again with its manifest", async (t) => {
  const board = await updatedBoard(t);
  const { target } = await board.release(2);
  let updates = await board.start();
  await board.takeUp(updates, target);
  t.match(updates.status(), { phase: "fetching", release: { target } });
  updates = await board.restart();
  t.match(updates.status(), { phase: "fetching", release: { target } });
  t.match(await board.begin(updates, target), { phase: "verified", expects: { from: 0 } });
  updates = await board.restart();
  t.equal(await board.installers[0]?.ended, "SIGKILL", "no installer outlives the update service");
  t.match(
    updates.status(),
    { phase: "fetching", release: { target } },
    "no installer is at work: its manifest must be brought again",
  );
  await board.carry(updates, target);
  await reaches(updates, "trying");
});

test("[OTA-35] a trial goes on after a restart of the warden before the reboot, or before the commit", async (t) => {
  const board = await updatedBoard(t);
  const { target, image } = await board.release(2);
  let updates = await board.start();
  await board.carry(updates, target);
  await reaches(updates, "trying");
  updates = await board.restart();
  t.match(updates.status(), { phase: "trying", running: "a" });
  updates = await board.reboot();
  t.match(updates.status(), { phase: "trying", running: "b" });
  updates = await board.restart();
  t.match(updates.status(), { phase: "trying", running: "b" }, "the same boot, the same trial");
  Object.assign(board.shown, { agent: true, hub: true, lockdown: "passed" });
  updates.nudge();
  await reaches(updates, "committed");
  updates = await board.restart();
  t.match(updates.status(), { phase: "committed", running: "b" });
  t.equal(await board.floor(), 1);
  t.ok(image.equals(await readFile(board.slot("b"))));
});

test("[OTA-35] after a power cut during a trial the old system boots and records the reason", async (t) => {
  const board = await updatedBoard(t);
  const { target } = await board.release(2);
  let updates = await board.start();
  await board.carry(updates, target);
  await reaches(updates, "trying");
  updates = await board.powerCycle();
  t.match(updates.status(), { phase: "trying", running: "b" }, "the boot loader boots the slot on trial");
  updates = await board.powerCycle();
  t.match(updates.status(), { phase: "rolled-back", running: "a", reason: { why: "interrupted" } });
});

test("[OTA-70] a trial that its timer has ended says so, and a note of an earlier trial says nothing about the next", async (t) => {
  const board = await updatedBoard(t);
  const { target } = await board.release(2);
  const notes = join(board.root, "boot/sallyport");
  await mkdir(notes, { recursive: true });
  await writeFile(join(notes, "trial-ended"), "timer b\n");
  let updates = await board.start();
  await board.carry(updates, target);
  await reaches(updates, "trying");
  t.same(await readdir(notes), [], "the note of an earlier trial is gone before this one begins");
  await board.powerCycle();
  await writeFile(join(notes, "trial-ended"), "timer b\n");
  updates = await board.powerCycle();
  t.match(updates.status(), {
    phase: "rolled-back",
    running: "a",
    reason: { why: "deadline", detail: /own timer ended the trial; it ran/u },
  });
  t.match(board.trail.at(-1), { event: "update.rolled-back", detail: { why: "deadline" } });
});

test("[OTA-35] [OTA-36] a machine whose running slot is unknown or whose records cannot be read refuses updates and serves everything else", async (t) => {
  const board = await updatedBoard(t);
  const { target } = await board.release(2);
  await writeFile(join(board.root, "proc/cmdline"), "quiet\n");
  let updates = await board.start();
  t.match(updates.troubles(), [{ code: "slot.unknown" }]);
  await t.rejects(board.begin(updates, target), { code: "slot.unknown" });
  await writeFile(join(board.root, "proc/cmdline"), "sallyport.slot=b\n");
  updates = await board.restart();
  await t.rejects(board.begin(updates, target), { code: "update.refused", message: /slot b runs and is not committed/u });
  await writeFile(join(board.root, "proc/cmdline"), "sallyport.slot=a\n");
  await writeFile(join(board.root, "../warden/floors/floors.json"), "{}", { mode: 0o600 });
  updates = await board.restart();
  t.match(updates.troubles(), [{ code: "floor.invalid" }]);
  await t.rejects(board.begin(updates, target), { code: "floor.invalid" });
  await writeFile(join(board.root, "../warden/update/update.json"), "{}", { mode: 0o600 });
  updates = await board.restart();
  t.match(updates.status(), { phase: "failed", detail: /update record/u });
  await t.rejects(board.begin(updates, target), { code: "update.record-invalid" });
  t.equal(board.installers.length, 0);
});
