// Hub time through the agent: when it asks, how often, and what it makes of the answer. A real warden, a real HTTPS hub.
import { type Test, test } from "tap";
import * as v from "valibot";
import { createTimeSync, type TimeSync } from "../../../agent/time/index.ts";
import { ASK_AGAIN_AFTER_MS, SYNCED_ASK_AGAIN_AFTER_MS } from "../../../agent/time/limits.ts";
import { deviceIdSchema } from "../../../hal/identity/format.ts";
import { hubTimeRequestSchema } from "../../../ota/time/format.ts";
import { serveHttps } from "../../lab/counterparts/est-server.ts";
import { fakeClock } from "../../lab/fakes/clock.ts";
import { hubTime } from "../../lab/counterparts/hub-signer.ts";
import { needs } from "../../lab/runner/needs.ts";
import { makePki } from "../../lab/counterparts/pki.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { labWarden } from "../../lab/worlds/warden.ts";

const YEAR_MS = 365 * 86_400_000;

async function desk(
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
  "[ID-10] a clock that was right is set and has not moved; one that was set is not asked for again",
  { skip: needs("openssl") },
  async (t) => {
    const { sync, asked } = await desk(t, 0);
    t.match(await sync.sync("believed"), { clock: { state: "synced" }, moved: false });
    t.match(await sync.sync("believed"), { clock: { state: "synced" }, moved: false });
    t.equal(asked(), 1);
  },
);

test("[ID-10] a clock that was wrong has moved, once", { skip: needs("openssl") }, async (t) => {
  const { sync, clock } = await desk(t, YEAR_MS);
  t.match(await sync.sync("believed"), { clock: { state: "synced" }, moved: true });
  await clock.advance(SYNCED_ASK_AGAIN_AFTER_MS);
  t.match(await sync.sync("in-doubt"), { moved: false }, "asked again, it is right");
});

test(
  "[TUN-4] dates in doubt by a set clock are asked about seldom: then it is the hub's certificate",
  { skip: needs("openssl") },
  async (t) => {
    const { sync, clock, asked } = await desk(t, 0);
    await sync.sync("believed");
    for (let n = 0; n < 20; n += 1) {
      await clock.advance(ASK_AGAIN_AFTER_MS);
      await sync.sync("in-doubt");
    }
    t.equal(asked(), 1, "20 doubts within 200 s, no question");
    await clock.advance(SYNCED_ASK_AGAIN_AFTER_MS);
    t.match(await sync.sync("in-doubt"), { clock: { state: "synced" } });
    t.equal(asked(), 2);
  },
);
