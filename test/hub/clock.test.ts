// The hub notices that its own clock was stepped.
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "tap";
import { HUB_STEP_MS_MIN, HubClock, STEP_TOLD_MS } from "../../hub/clock.ts";
import { initHub } from "../../hub/index.ts";
import { readTroubles } from "../../hub/troubles.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { ask, enrolled, labDevice, labHub } from "../lab/worlds/hub.ts";

const DAY_MS = 86_400_000;

function clockOf(lastAgoMs: number | undefined) {
  const time = { wallMs: Date.UTC(2026, 10, 30), monotonicMs: 5000 };
  const clock = new HubClock({
    lastMs: lastAgoMs === undefined ? undefined : time.wallMs - lastAgoMs,
    nowMs: () => time.wallMs,
    monotonicMs: () => time.monotonicMs,
  });
  const pass = (ms: number): void => {
    time.wallMs += ms;
    time.monotonicMs += ms;
  };
  return { clock, time, pass };
}

test("[STA-52] a step under the running hub is told for an hour, forward and back; a slow clock and a short step are not", async (t) => {
  for (const stepMs of [-60 * DAY_MS, 60 * DAY_MS, 5 * 365 * DAY_MS, -HUB_STEP_MS_MIN - 1]) {
    const { clock, time, pass } = clockOf(1000);
    pass(DAY_MS);
    t.equal(clock.fault(), undefined);
    time.wallMs += stepMs;
    const fault = clock.fault();
    t.match(fault, { code: "hub.clock-stepped", message: stepMs < 0 ? /minutes? back\) under/u : /minutes? ahead\) under/u });
    pass(STEP_TOLD_MS);
    t.equal(clock.fault()?.message, fault?.message);
    pass(1);
    t.equal(clock.fault(), undefined, "over");
  }
  const { clock, time } = clockOf(1000);
  time.wallMs += HUB_STEP_MS_MIN;
  t.equal(clock.fault(), undefined);
});

test("[STA-52] a clock that is behind what the hub wrote last is told at the start", async (t) => {
  t.match(clockOf(-60 * DAY_MS).clock.fault(), { code: "hub.clock-stepped", message: /back\) since the hub ran last/u });
  for (const agoMs of [undefined, 0, -1000, 400 * DAY_MS]) t.equal(clockOf(agoMs).clock.fault(), undefined, `${agoMs}`);
});

test("[STA-53] what is removed by its age is removed by the last entry and the time since, whatever the clock says", async (t) => {
  const { clock, time, pass } = clockOf(DAY_MS);
  const before = time.wallMs - DAY_MS;
  t.equal(clock.retentionMs(), before);
  time.wallMs += 5 * 365 * DAY_MS;
  pass(DAY_MS);
  t.equal(clock.retentionMs(), before + DAY_MS);
  time.wallMs -= 10 * 365 * DAY_MS;
  t.equal(clock.retentionMs(), time.wallMs, "never later than the clock");
});

test("[STA-52] a hub that starts with a clock behind its journal says so to everybody, serves, and issues", async (t) => {
  const state = await temporaryDirectory(t);
  await initHub({ state, name: "lab hub", hosts: ["localhost", "127.0.0.1"] });
  const first = await labHub(t, { state });
  await first.hub.stop();
  const database = new DatabaseSync(join(state, "hub.db"));
  database.exec(`UPDATE journal SET firstAt = firstAt + ${60 * DAY_MS}, lastAt = lastAt + ${60 * DAY_MS}`);
  database.close();
  const { hub } = await labHub(t, { state });
  t.match(hub.troubles(), [{ kind: "step", code: "hub.clock-stepped", message: /86400 minutes back/u }]);
  t.match(readTroubles(state), hub.troubles(), "the command line reads it");
  const healthz = await ask(hub, "/healthz");
  t.match([healthz.status, healthz.body.toString()], [200, /^ok, but step: hub\.clock-stepped/u]);
  t.match(await hub.store.journal.tail(10, "alert"), [{ event: "hub.trouble", detail: { code: "hub.clock-stepped" } }]);
  await enrolled(hub, await labDevice("gw-1"));
  await hub.stop();
  const { hub: next } = await labHub(t, { state });
  t.same(next.troubles(), [], "it is told once: what was written last is by the right clock");
});
