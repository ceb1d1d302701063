// A reboot that was requested and does not come: nothing was tried, so nothing counts against the
// release.
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

test("[OTA-61] a reboot that cannot be requested is reported and requested again, and does not count against the release", async (t) => {
  const board = await updatedBoard(t);
  const { target } = await board.release(2);
  const run = join(board.root, "run");
  await writeFile(run, "not a directory"); // where reboot requests are written
  let updates = await board.start();
  await board.carry(updates, target);
  await until("a trouble", () => updates.troubles().length > 0);
  for (let n = 0; n < 5; n += 1) await updates.settle();
  t.match(updates.status(), { phase: "trying", running: "a" });
  t.match(updates.troubles(), [{ code: "power.failed" }]);
  t.same(reboots(board), ["ok", "failed"], "the request and its failure are recorded once each");
  t.match(lastOf(board, "system.rebooting").detail, { code: "power.failed", reason: `try "${target}" in slot b` });

  for (let n = 0; n < 3; n += 1) updates = await board.restart();
  t.match(updates.status(), { phase: "trying", running: "a" });
  t.same(reboots(board).slice(-2), ["ok", "failed"]);

  await rm(run);
  await updates.settle();
  t.same(updates.troubles(), []);
  t.same(reboots(board).slice(-2), ["failed", "ok"], "the request succeeded at last");
  updates = await board.reboot();
  t.match(updates.status(), { phase: "trying", running: "b" });
  await commits(board, updates);
  t.notOk(eventsOf(board).includes("update.rolled-back"));
});

test("[OTA-61] a release is tried although the warden restarts several times before the reboot", async (t) => {
  const board = await updatedBoard(t);
  const { target } = await board.release(2);
  let updates = await board.start();
  await board.carry(updates, target);
  await until("the trial", () => updates.status().phase === "trying");
  for (let n = 0; n < 5; n += 1) updates = await board.restart();
  t.match(updates.status(), { phase: "trying", running: "a" });
  updates = await board.reboot();
  t.match(updates.status(), { phase: "trying", running: "b" });
  await commits(board, updates);
});
