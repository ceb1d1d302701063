// A step after the commit that failed: no other release is taken up before it is done.
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { eventually } from "../../lab/runner/process.ts";
import { eventsOf, updatedBoard } from "../../lab/worlds/updates.ts";

test("[OTA-35] [OTA-36] a floor that could not be raised delays the next release, and the end of the update is recorded once it is raised", async (t) => {
  const board = await updatedBoard(t);
  await board.release(3);
  let updates = await board.start();
  await board.carry(updates, "os/gateway-3");
  updates = await board.reboot();
  const floors = join(board.root, "../warden/floors");
  await rm(floors, { recursive: true });
  Object.assign(board.shown, { agent: true, hub: true, lockdown: "passed" });
  updates.nudge();
  await eventually("a trouble", async () => (updates.troubles().length > 0 ? true : undefined));
  t.match(updates.status(), { phase: "committed" });
  t.notOk(eventsOf(board).includes("update.committed"));
  await board.release(4);
  const [trouble] = updates.troubles();
  await t.rejects(board.begin(updates, "os/gateway-4"), { code: trouble?.code });
  t.match(updates.status(), { phase: "committed", release: { counter: 3 } });
  updates = await board.restart();
  t.equal(
    eventsOf(board).filter((event) => event === "update.committed").length,
    1,
    "after the restart, which created the directory again",
  );
  t.equal(await board.floor(), 1);
  updates = await board.restart();
  t.equal(eventsOf(board).filter((event) => event === "update.committed").length, 1);
  t.match(await board.begin(updates, "os/gateway-4"), { phase: "verified" });
});
