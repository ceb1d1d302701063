// Requests for hub time: when the agent asks, how often, and what the answer means. With a real
// warden and a real HTTPS server as the hub.
import { setTimeout as sleep } from "node:timers/promises";
import { type Test, test } from "tap";
import * as v from "valibot";
import { ASK_INTERVAL_MS_MIN, createTimeSync, SYNCED_ASK_INTERVAL_MS_MIN, type TimeSync } from "../../../agent/time/sync.ts";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import { hubTimeRequestSchema } from "../../../ota/format/time.ts";
import { HUB_TIME_PERIOD_MS } from "../../../warden/time/trusted-clock.ts";
import { serveHttps } from "../../lab/counterparts/est-server.ts";
import { fakeClock } from "../../lab/fakes/clock.ts";
import { hubTime } from "../../lab/counterparts/hub-signer.ts";
import { needs } from "../../lab/runner/needs.ts";
import { makePki } from "../../lab/counterparts/pki.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { labWarden } from "../../lab/worlds/warden.ts";

const YEAR_MS = 365 * 86_400_000;

/** The real warden takes hub time once in this period of its own, real clock. [ID-12] */
const wardenTakesTimeAgain = (): Promise<void> => sleep(HUB_TIME_PERIOD_MS);

async function timeSync(
  t: Test,
  aheadMs: number,
): Promise<{ readonly sync: TimeSync; readonly clock: ReturnType<typeof fakeClock>; readonly asked: () => number }> {
  const directory = await temporaryDirectory(t);
  const pki = makePki(directory);
  const lab = await labWarden(t);
  await lab.start();
  const warden = lab.client();
  t.teardown(() => warden.close());
  const server = await serveHttps(pki.server, pki.authority, ({ body }, response) => {
    const { deviceId, nonce } = v.parse(hubTimeRequestSchema, JSON.parse(body));
    response.end(JSON.stringify(hubTime(lab.hub.time, deviceId, nonce, Date.now() + aheadMs)));
  });
  t.teardown(() => server.close());
  const clock = fakeClock();
  const { identity } = await warden.call("identity.read", {});
  const sync = createTimeSync({
    warden,
    hub: server.hub(pki.authority),
    deviceId: v.parse(deviceIdSchema, identity.id),
    clock,
    signal: new AbortController().signal,
  });
  return { sync, clock, asked: () => server.asked.length };
}

test(
  "[ID-10] a clock that was right is set without a step, and is not set a second time",
  { skip: needs("openssl") },
  async (t) => {
    const { sync, asked } = await timeSync(t, 0);
    t.match(await sync.sync("trusted"), { clock: { state: "synced" }, moved: false });
    t.match(await sync.sync("trusted"), { clock: { state: "synced" }, moved: false });
    t.equal(asked(), 1);
  },
);

test("[ID-10] a clock that was wrong moves once", { skip: needs("openssl") }, async (t) => {
  const { sync, clock } = await timeSync(t, YEAR_MS);
  t.match(await sync.sync("trusted"), { clock: { state: "synced" }, moved: true });
  await clock.advance(SYNCED_ASK_INTERVAL_MS_MIN);
  await wardenTakesTimeAgain();
  t.match(await sync.sync("in-doubt"), { moved: false }, "the second answer finds it right");
});

test(
  "[TUN-71] after a refusal by the broker the hub is asked again, although the clock was set from it",
  { skip: needs("openssl") },
  async (t) => {
    const { sync, clock, asked } = await timeSync(t, 0);
    await sync.sync("trusted");
    t.equal(await sync.sync("refused"), undefined, "at most every 10 s");
    await clock.advance(ASK_INTERVAL_MS_MIN);
    await wardenTakesTimeAgain();
    t.match(await sync.sync("refused"), { clock: { state: "synced" } });
    t.equal(asked(), 2);
  },
);

test(
  "[TUN-4] once the clock is set, dates in doubt rarely cause a request, because the hub's certificate is more likely wrong",
  { skip: needs("openssl") },
  async (t) => {
    const { sync, clock, asked } = await timeSync(t, 0);
    await sync.sync("trusted");
    for (let n = 0; n < 20; n += 1) {
      await clock.advance(ASK_INTERVAL_MS_MIN);
      await sync.sync("in-doubt");
    }
    t.equal(asked(), 1, "20 doubts within 200 s, no request");
    await clock.advance(SYNCED_ASK_INTERVAL_MS_MIN);
    await wardenTakesTimeAgain();
    t.match(await sync.sync("in-doubt"), { clock: { state: "synced" } });
    t.equal(asked(), 2);
  },
);
