// A release of another line than the running one: it has counters and floors of its own, so they do
// not restrict it.
import { test } from "tap";
import { updatedBoard } from "../../lab/worlds/updates.ts";

test("[OTA-12] [OTA-66] an older system under another line cannot bypass the counter of the running line", async (t) => {
  const board = await updatedBoard(t);
  const { target, planHash } = await board.release(1, { custom: { line: "os/rescue", counter: 1 } });
  const updates = await board.start();
  await t.rejects(board.begin(updates, target), {
    code: "update.refused",
    message: /no release of the line "os\/rescue" has run here/u,
  });
  t.match(updates.status(), { phase: "idle", awaitsOrder: planHash });
  t.equal(board.installers.length, 0);
  await updates.orders["update.approve"].execute({ planHash, by: "alice" });
  t.match(await board.begin(updates, target), { phase: "verified" });
});
