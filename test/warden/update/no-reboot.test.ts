// A reboot that was asked for and does not come: nothing was tried, and nothing speaks against the release.
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import type { Updates } from "../../../warden/update/index.ts";
import { eventually } from "../../lab/runner/process.ts";
import { eventsOf, lastOf, type UpdatedBoard, updatedBoard } from "../../lab/worlds/updates.ts";

async function until(what: string, isSo: () => boolean): Promise<void> {
  await eventually(what, async () => (isSo() ? true : undefined));
}

async function commits(board: UpdatedBoard, updates: Updates): Promise<void> {
  Object.assign(board.shown, { agent: true, hub: true, lockdown: "passed" });
  updates.nudge();
  await until("the commit", () => updates.status().phase === "committed");
}

const reboots = ({ trail }: UpdatedBoard): readonly string[] =>
  trail.filter(({ event }) => event === "system.rebooting").map(({ result }) => result);

test("[OTA-35] a reboot that can't be asked for is said so, asked for again, and counts against no release", async (t) => {
  const board = await updatedBoard(t);
  const { target } = await board.release(2);
  const run = join(board.root, "run");
  await writeFile(run, "no directory"); // where requests for a reboot are left
  let updates = await board.start();
  await board.carry(updates, target);
  await until("a trouble", () => updates.troubles().length > 0);
  for (let again = 0; again < 5; again += 1) await updates.settle();
  t.match(updates.status(), { phase: "trying", running: "a" });
  t.match(updates.troubles(), [{ code: "power.failed" }]);
  t.same(reboots(board), ["ok", "failed"], "that it was asked for, and that it failed: each once");
  t.match(lastOf(board, "system.rebooting").detail, { code: "power.failed", reason: `try "${target}" in slot b` });

  for (let again = 0; again < 3; again += 1) updates = await board.restart();
  t.match(updates.status(), { phase: "trying", running: "a" });
  t.same(reboots(board).slice(-2), ["ok", "failed"]);

  await rm(run);
  await updates.settle();
  t.same(updates.troubles(), []);
  t.same(reboots(board).slice(-2), ["failed", "ok"], "now it could be asked for");
  updates = await board.reboot();
  t.match(updates.status(), { phase: "trying", running: "b" });
  await commits(board, updates);
  t.notOk(eventsOf(board).includes("update.rolled-back"));
});

test("[OTA-35] restarted again and again before the reboot comes, a release is tried all the same", async (t) => {
  const board = await updatedBoard(t);
  const { target } = await board.release(2);
  let updates = await board.start();
  await board.carry(updates, target);
  await until("the trial", () => updates.status().phase === "trying");
  for (let again = 0; again < 5; again += 1) updates = await board.restart();
  t.match(updates.status(), { phase: "trying", running: "a" });
  updates = await board.reboot();
  t.match(updates.status(), { phase: "trying", running: "b" });
  await commits(board, updates);
});
