// The updater: events take turns, and it knows when it is idle.
import { test } from "tap";
import { createUpdater, type Effect, readUpdateState } from "../../../ota/commit/index.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";

const release = { target: "os/gateway-7", digest: "7".repeat(64), line: "os", counter: 7, floorAfterCommit: 6 };

test("[OTA-35] idle waits for every event, including those that an effect causes", async (t) => {
  const files = fakeFiles();
  const effects: Effect["do"][] = [];
  const updater = createUpdater({
    files,
    state: await readUpdateState(files),
    run: async (effect) => {
      await new Promise((resolve) => setImmediate(resolve));
      effects.push(effect.do);
      if (effect.do === "fetch") void updater.apply({ kind: "verified", slot: "b" });
      if (effect.do === "write") void updater.apply({ kind: "written" });
    },
  });
  await updater.idle();
  t.equal(updater.state().phase.at, "idle", "an updater without events is idle at once");
  void updater.apply({ kind: "offered", release, ordered: false });
  await updater.idle();
  t.equal(updater.state().phase.at, "written");
  t.same(effects, ["fetch", "write"]);
  t.equal((await readUpdateState(files)).phase.at, "written", "the state is durable");
});

test("[OTA-35] a fault of an effect ends the turn of its event, and the next event is applied", async (t) => {
  const files = fakeFiles();
  const run = async (effect: Effect): Promise<void> => {
    if (effect.do === "fetch") throw new TypeError("the effect failed");
  };
  const updater = createUpdater({ files, state: await readUpdateState(files), run });
  const offered = updater.apply({ kind: "offered", release, ordered: false });
  const verified = updater.apply({ kind: "verified", slot: "b" });
  await t.rejects(offered, /the effect failed/u);
  await verified;
  await updater.idle();
  t.equal(updater.state().phase.at, "verified");
});

test("[OPS-11] the tick of a trial's deadline is applied before events that wait", async (t) => {
  const files = fakeFiles();
  const updater = createUpdater({ files, state: await readUpdateState(files), run: async () => undefined });
  const order: string[] = [];
  await Promise.all([
    updater.apply({ kind: "offered", release, ordered: false }).then(() => order.push("running")),
    updater.apply({ kind: "verified", slot: "b" }).then(() => order.push("waiting")),
    updater.apply({ kind: "tick", uptimeMs: 1 }).then(() => order.push("tick")),
  ]);
  t.same(order, ["running", "tick", "waiting"]);
});
