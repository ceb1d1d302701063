// Hub time as the agent brings it: right, wrong, late and repeated.
import { test } from "tap";
import type { HubTimeResponse } from "../../../ota/format/time.ts";
import { chooseIdentity } from "../../../warden/identity/index.ts";
import { clockBounds, openTrustedClock, type TrustedClock } from "../../../warden/time/index.ts";
import { NONCES_MAX } from "../../../warden/time/nonces.ts";
import { HUB_TIME_PERIOD_MS } from "../../../warden/time/trusted-clock.ts";
import { type FakeClock, fakeClock } from "../../lab/fakes/clock.ts";
import { type FakeFiles, fakeFiles } from "../../lab/fakes/files.ts";
import { faultOf } from "../../lab/runner/faults.ts";
import { hubTime, makeSigner } from "../../lab/counterparts/hub-signer.ts";

const BUILT = Date.UTC(2026, 10, 22);
const BOUNDS = clockBounds(BUILT);
const NOW = Date.UTC(2027, 2, 1, 12);
const HUB = makeSigner("hub.example/time", "ed25519");
const { id: DEVICE } = chooseIdentity({ commissionedId: "GW-4711", serials: [], interfaces: [], model: undefined });
const BOOT = "0f0e0d0c-0b0a-4908-8706-050403020100";

async function openClock(
  over: {
    readonly clock?: FakeClock;
    readonly state?: FakeFiles | undefined;
    readonly bootId?: string;
    readonly noKey?: boolean;
  } = {},
): Promise<{ readonly time: TrustedClock; readonly clock: FakeClock }> {
  const clock = over.clock ?? fakeClock(0);
  const time = await openTrustedClock({
    clock,
    bounds: BOUNDS,
    deviceId: DEVICE,
    timeKey: over.noKey === true ? undefined : HUB.verifier,
    bootId: over.bootId ?? BOOT,
    state: over.state,
  });
  return { time, clock };
}

test("[ID-10] [ID-22] a time that the hub signed for our nonce is set, forward and back", async (t) => {
  const { time, clock } = await openClock();
  t.equal(time.state().state, "unset", "1970");
  t.same(await time.set(hubTime(HUB, DEVICE, time.nonce(), NOW)), { stepMs: NOW, noteworthy: true, forgetful: undefined });
  t.match(time.state(), { state: "synced", nowMs: NOW, floorMs: BUILT });
  await clock.advance(HUB_TIME_PERIOD_MS);
  t.same(
    await time.set(hubTime(HUB, DEVICE, time.nonce(), NOW - 5000)),
    { stepMs: -5000 - HUB_TIME_PERIOD_MS, noteworthy: true, forgetful: undefined },
    "back too, above the floor",
  );
  t.same(clock.settings, [NOW, NOW - 5000]);
});

test("[ID-10] a nonce serves once: the same answer is refused the second time", async (t) => {
  const { time, clock } = await openClock();
  const answer = hubTime(HUB, DEVICE, time.nonce(), NOW);
  await time.set(answer);
  await clock.advance(HUB_TIME_PERIOD_MS);
  t.equal((await faultOf(() => time.set(answer))).code, "time.nonce-unknown");
  t.equal(clock.settings.length, 1);
});

test("[ID-10] a nonce lives 60 s by the monotonic clock, independently of the wall clock", async (t) => {
  const { time, clock } = await openClock();
  const inTime = time.nonce();
  await clock.advance(60_000);
  await time.set(hubTime(HUB, DEVICE, inTime, NOW));
  const late = time.nonce();
  await clock.advance(60_001);
  t.equal((await faultOf(() => time.set(hubTime(HUB, DEVICE, late, NOW)))).code, "time.nonce-unknown");
});

test("[ID-10] nonces are 32 bytes, never the same, and bounded in number: the oldest is dropped", async (t) => {
  const { time } = await openClock();
  const issued = Array.from({ length: NONCES_MAX + 1 }, () => time.nonce());
  t.equal(new Set(issued).size, issued.length);
  t.ok(issued.every((nonce) => /^[0-9a-f]{64}$/u.test(nonce)));
  const [oldest = "", second = ""] = issued;
  t.equal((await faultOf(() => time.set(hubTime(HUB, DEVICE, oldest, NOW)))).code, "time.nonce-unknown");
  await time.set(hubTime(HUB, DEVICE, second, NOW));
});

test("[ID-10] an answer that the hub's time key did not sign for this device is refused, spends the nonce and leaves the clock", async (t) => {
  const { time, clock } = await openClock();
  const other = makeSigner("hub.example/time", "ed25519");
  const good = (nonce: string): HubTimeResponse => hubTime(HUB, DEVICE, nonce, NOW);
  const attacks: readonly [string, (nonce: string) => HubTimeResponse][] = [
    ["another key of the same name", (nonce) => hubTime(other, DEVICE, nonce, NOW)],
    ["the hub's answer to another device", (nonce) => hubTime(HUB, "GW-4712", nonce, NOW)],
    ["that answer with our id put in", (nonce) => ({ ...hubTime(HUB, "GW-4712", nonce, NOW), deviceId: DEVICE })],
    ["another time than was signed", (nonce) => ({ ...good(nonce), time: "2030-01-01T00:00:00.000Z" })],
    ["the signature of another nonce's answer", (nonce) => ({ ...good(nonce), signature: good("ab".repeat(32)).signature })],
    ["a signature of zeros", (nonce) => ({ ...good(nonce), signature: `${"A".repeat(86)}==` })],
  ];
  for (const [what, attack] of attacks) {
    const nonce = time.nonce();
    t.equal((await faultOf(() => time.set(attack(nonce)))).code, "time.bad-signature", what);
    t.equal((await faultOf(() => time.set(good(nonce)))).code, "time.nonce-unknown", "and the nonce is gone");
  }
  t.same(clock.settings, []);
  t.equal(time.state().state, "unset");
});

test("[ID-22] a signed time below the floor, above the ceiling or without a valid date is refused", async (t) => {
  const { time, clock } = await openClock();
  for (const when of [BUILT - 1, BOUNDS.ceilingMs + 1, 0, "2027-02-31T99:00:00.000Z"])
    t.equal((await faultOf(() => time.set(hubTime(HUB, DEVICE, time.nonce(), when)))).code, "time.out-of-range", String(when));
  for (const when of [BUILT, BOUNDS.ceilingMs]) {
    await time.set(hubTime(HUB, DEVICE, time.nonce(), when));
    await clock.advance(HUB_TIME_PERIOD_MS);
  }
  t.same(clock.settings, [BUILT, BOUNDS.ceilingMs]);
});

test("[ID-10] without hub anchors no time is believed", async (t) => {
  const { time, clock } = await openClock({ noKey: true });
  t.equal((await faultOf(() => time.set(hubTime(HUB, DEVICE, time.nonce(), NOW)))).code, "time.bad-signature");
  t.same(clock.settings, []);
});

test("[ID-22] the setting is remembered for this boot only, and the time itself is not stored", async (t) => {
  const state = fakeFiles();
  const clock = fakeClock(0);
  const { time } = await openClock({ clock, state });
  await time.set(hubTime(HUB, DEVICE, time.nonce(), NOW));
  t.same(JSON.parse(Buffer.from(state.contents.get("clock.json") ?? "").toString()), {
    v: 2,
    readable: 1,
    bootId: BOOT,
    offsetMs: NOW - clock.monotonicMs(),
  });
  t.equal((await openClock({ clock, state })).time.state().state, "synced", "the warden restarted");
  t.equal((await openClock({ clock, state, bootId: "another" })).time.state().state, "unverified", "the machine restarted");
  state.contents.set("clock.json", Buffer.from(`{"bootId":"${BOOT}","readable":1,"v":1}`));
  t.equal((await openClock({ clock, state })).time.state().state, "unverified", "an older program did not say where it was set");
  state.contents.set("clock.json", Buffer.from("{"));
  t.equal((await openClock({ clock, state })).time.state().state, "unverified", "a malformed record counts as none");
});

test("[ID-10] a full disk does not undo the setting: the fault says that it will not be remembered", async (t) => {
  const state = fakeFiles();
  state.faults.failAlways("file.no-space");
  const { time } = await openClock({ state });
  t.match(await time.set(hubTime(HUB, DEVICE, time.nonce(), NOW)), { stepMs: NOW, forgetful: { code: "file.no-space" } });
  t.equal(time.state().state, "synced");
});

test("[ID-10] a machine that refuses the setting stays unsynced", async (t) => {
  const clock = fakeClock(0);
  clock.refuseSetting();
  const { time } = await openClock({ clock });
  t.equal((await faultOf(() => time.set(hubTime(HUB, DEVICE, time.nonce(), NOW)))).code, "clock.set-failed");
  t.equal(time.state().state, "unset");
});

test("[OTA-13] [ID-22] a time that offline keys have signed raises the floor, never lowers it, and never raises it above the ceiling", async (t) => {
  const clock = fakeClock(NOW);
  const { time } = await openClock({ clock });
  t.equal(time.state().state, "unverified");
  time.raiseFloor(NOW + 1000);
  t.match(time.state(), { state: "unset", floorMs: NOW + 1000 }, "the clock is behind what was proven");
  time.raiseFloor(BUILT);
  time.raiseFloor(BOUNDS.ceilingMs + 1);
  t.equal(time.state().floorMs, NOW + 1000);
  t.equal((await faultOf(() => time.set(hubTime(HUB, DEVICE, time.nonce(), NOW)))).code, "time.out-of-range");
});

test("[TUN-70] a clock that somebody else steps is no longer the hub's, also for a warden that starts after that", async (t) => {
  const state = fakeFiles();
  const clock = fakeClock(0);
  const { time } = await openClock({ clock, state });
  await time.set(hubTime(HUB, DEVICE, time.nonce(), NOW));
  const day = 86_400_000;
  for (const [stepMs, expected] of [
    [59_000, "synced"],
    [-59_000, "synced"],
    [61_000, "unverified"],
    [-61_000, "unverified"],
    [-20 * day, "unverified"],
    [5 * 365 * day, "unverified"],
    [-200 * day, "unset"],
    [20 * 365 * day, "unset"],
  ] as const) {
    await clock.advance(HUB_TIME_PERIOD_MS);
    await clock.set(clock.nowMs() + stepMs);
    t.same([time.state().state, time.isSynced()], [expected, expected === "synced"], `${stepMs} ms`);
    t.equal((await openClock({ clock, state })).time.state().state, expected, "a warden that starts now");
    await clock.set(clock.nowMs() - stepMs);
    t.equal(time.state().state, "synced", "and put back by whoever stepped it");
  }
  await clock.set(clock.nowMs() + 40 * day);
  t.match(await time.set(hubTime(HUB, DEVICE, time.nonce(), NOW)), { noteworthy: true });
  t.equal(time.state().state, "synced", "the hub has set it again");
});
