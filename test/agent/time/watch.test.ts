// The attempts to set the clock until one succeeds, with a real warden. The hub's answers are
// scripted here; sync.test.ts asks a real server. [ID-10]
import { type Test, test } from "tap";
import type { TimeSync } from "../../../agent/time/index.ts";
import { STEP_CHECK_MS, STEP_PACE_MS, STEPS_AT_ONCE_MAX } from "../../../agent/time/steps.ts";
import { createTimeWatch, RETRY_MS_MAX, RETRY_MS_MIN } from "../../../agent/time/watch.ts";
import { Fault } from "../../../hal/fault.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import type { ClockState } from "../../../warden/time/format.ts";
import { fakeClock } from "../../lab/fakes/clock.ts";
import { eventually } from "../../lab/runner/process.ts";
import { labWarden } from "../../lab/worlds/warden.ts";

type Answer = Awaited<ReturnType<TimeSync["sync"]>>;

const SYNCED: Answer = { clock: { state: "synced", nowMs: Date.UTC(2026, 5, 1), floorMs: Date.UTC(2026, 0, 1) }, moved: true };
const UNREACHABLE = new Fault("enrol.unreachable", "nobody there");
const IMPOSTOR = new Fault("tls.hub-untrusted", "somebody else there");
/** The hub was asked too short a time ago. */
const NOT_ASKED = undefined;

/** Gives the hub's `answers` one after the other, and repeats the last. */
async function timeWatch(t: Test, ...answers: readonly (Answer | Fault)[]) {
  const lab = await labWarden(t);
  const warden = await lab.start();
  const clock = fakeClock();
  const stopped = new AbortController();
  const notes: AuditEntry[] = [];
  const counts = { asked: 0, synced: 0 };
  const client = lab.client();
  const watch = createTimeWatch({
    readClock: async () => (await client.call("status.read", {})).clock,
    source: {
      async sync() {
        const answer = answers[Math.min(counts.asked, answers.length - 1)];
        counts.asked += 1;
        if (answer instanceof Fault) throw answer;
        return answer;
      },
    },
    clock,
    signal: stopped.signal,
    log: () => undefined,
    note: (entry) => notes.push(entry),
    onSynced: () => (counts.synced += 1),
  });
  /** Lets the next attempt begin, which first asks the warden through a real socket. */
  const passTime = async (byMs: number): Promise<void> => {
    const before = counts.asked;
    await clock.advance(byMs);
    await eventually("the next attempt", async () => (counts.asked > before ? true : undefined));
  };
  return { watch, warden, clock, stopped, notes, counts, passTime };
}

test("[ID-10] a failed attempt is repeated, and its fault stands until one succeeds", async (t) => {
  const { watch, counts, passTime, clock } = await timeWatch(t, UNREACHABLE, NOT_ASKED, SYNCED);
  t.equal(watch.clock(), undefined);
  t.equal(await watch.sync("trusted"), false);
  t.match([watch.fault(), watch.clock()], [{ code: "enrol.unreachable" }, { state: "unverified" }]);
  await passTime(RETRY_MS_MIN);
  t.match(watch.fault(), { code: "enrol.unreachable" }, "an attempt that was skipped proves nothing");
  await passTime(2 * RETRY_MS_MIN);
  await eventually("an answer", async () => (watch.fault() === undefined ? true : undefined));
  t.match([watch.clock()?.state, counts], ["synced", { asked: 3, synced: 1 }]);
  await clock.advance(2 * RETRY_MS_MAX);
  t.equal(counts.asked, 3, "and no more afterwards");
});

test("[OTA-77] a hub that asks to be left alone is asked for the time no sooner", async (t) => {
  const busy = new Fault("enrol.server-error", "busy", { retryAfterMs: 600_000 });
  const { watch, passTime, clock, counts } = await timeWatch(t, busy, SYNCED);
  await watch.sync("trusted");
  await clock.advance(RETRY_MS_MAX);
  t.equal(counts.asked, 1);
  await passTime(600_000);
  await eventually("the time", async () => (counts.synced > 0 ? true : undefined));
});

test("[ID-10] an impostor is recorded once, however often it answers", async (t) => {
  const { watch, notes, passTime } = await timeWatch(t, IMPOSTOR);
  await watch.sync("in-doubt");
  await passTime(RETRY_MS_MIN);
  await passTime(2 * RETRY_MS_MIN);
  t.match(notes, [{ event: "hub.untrusted", result: "refused", detail: { code: "tls.hub-untrusted" } }]);
  t.equal(notes.length, 1);
});

test("[ID-10] an absent warden is a failed attempt, and after the stop there are no more attempts", async (t) => {
  const { watch, warden, counts, clock, stopped } = await timeWatch(t, SYNCED);
  await warden.stop("SIGKILL");
  t.equal(await watch.sync("trusted"), false);
  t.match(watch.fault(), { code: "protocol.closed" });
  t.equal(clock.sleeping, 1);
  stopped.abort();
  await clock.advance(RETRY_MS_MAX);
  t.equal(counts.asked, 0);
  t.equal(clock.sleeping, 0);
});

test("[TUN-71] a refusal of the broker that comes too soon after a question is looked into a little later", async (t) => {
  const { watch, clock, stopped, counts, passTime } = await timeWatch(t, SYNCED, NOT_ASKED, SYNCED);
  void watch.start();
  await watch.sync("trusted");
  t.equal(counts.synced, 1);
  await watch.sync("refused");
  t.equal(counts.asked, 2);
  await passTime(STEP_CHECK_MS);
  t.equal(counts.asked, 3);
  await clock.advance(10 * STEP_CHECK_MS);
  t.equal(counts.asked, 3, "once");
  stopped.abort();
});

/**
 * A warden of which only the state of its clock counts, as its own tests show it: `synced` until
 * the clock is not where the hub has put it.
 */
function steppedClock(t: Test) {
  const clock = fakeClock(Date.UTC(2026, 10, 30));
  const stopped = new AbortController();
  t.teardown(() => stopped.abort());
  const notes: AuditEntry[] = [];
  const counts = { asked: 0 };
  const floorMs = Date.UTC(2026, 10, 1);
  const offset = (): number => clock.nowMs() - clock.monotonicMs();
  const right = offset();
  let synced: number | undefined = right;
  const away = { hub: false };
  const state = (): ClockState => {
    const nowMs = clock.nowMs();
    if (nowMs < floorMs) return { state: "unset", nowMs, floorMs };
    return { state: synced === offset() ? "synced" : "unverified", nowMs, floorMs };
  };
  const watch = createTimeWatch({
    readClock: async () => state(),
    source: {
      async sync() {
        if (state().state === "synced") return { clock: state(), moved: false };
        counts.asked += 1;
        if (away.hub) throw UNREACHABLE;
        await clock.set(clock.monotonicMs() + right);
        synced = offset();
        return { clock: state(), moved: true };
      },
    },
    clock,
    signal: stopped.signal,
    log: () => undefined,
    note: (entry) => notes.push(entry),
    onSynced: () => undefined,
  });
  const step = (byMs: number): Promise<void> => clock.set(clock.nowMs() + byMs);
  return { watch, clock, notes, counts, away, step, isRight: () => offset() === right };
}

const DAY_MS = 86_400_000;
for (const [what, stepMs] of [
  ["60 days back, below the floor", -60 * DAY_MS],
  ["20 days back", -20 * DAY_MS],
  ["5 years ahead", 5 * 365 * DAY_MS],
  ["an hour back", -3_600_000],
] as const)
  test(`[TUN-70] a step of the clock, ${what}, is noticed and mended within a minute, and no decision is made by it`, async (t) => {
    const { watch, clock, notes, counts, step, isRight } = steppedClock(t);
    void watch.start();
    await watch.sync("trusted");
    t.ok(watch.isClockSynced());
    await step(stepMs);
    t.same([watch.isClockTrusted(), watch.isClockSynced()], [false, false], "at once");
    await clock.advance(STEP_CHECK_MS);
    t.ok(isRight());
    t.ok(watch.isClockSynced());
    t.equal(counts.asked, 1);
    t.match(notes, [{ event: "clock.stepped", result: "failed" }]);
    t.same([watch.fault(), watch.stepped()], [undefined, undefined], "it is over");
    await clock.advance(600_000);
    t.equal(counts.asked, 1, "the warden's own setting is no step of somebody else's");
  });

test("[TUN-70] a step while the hub is away stays in the status, and is mended when the hub is back", async (t) => {
  const { watch, clock, counts, away, step, isRight } = steppedClock(t);
  void watch.start();
  await watch.sync("trusted");
  away.hub = true;
  await step(40 * DAY_MS);
  await clock.advance(600_000);
  t.ok(counts.asked >= 2, `asked ${counts.asked} times`);
  t.match([watch.fault()?.code, watch.stepped()?.code], ["enrol.unreachable", "clock.stepped"]);
  t.same([watch.isClockTrusted(), watch.isClockSynced()], [true, false], "plausible, and no more");
  away.hub = false;
  await clock.advance(RETRY_MS_MAX + STEP_CHECK_MS);
  t.ok(isRight());
  t.same([watch.fault(), watch.stepped()], [undefined, undefined]);
});

test("[TUN-70] a program that sets the clock over and over is answered at a pace, and named", async (t) => {
  const { watch, clock, counts, notes, step, isRight } = steppedClock(t);
  void watch.start();
  await watch.sync("trusted");
  for (let n = 0; n < 20; n += 1) {
    if (isRight()) await step(-3_600_000);
    await clock.advance(STEP_CHECK_MS);
  }
  t.ok(counts.asked <= STEPS_AT_ONCE_MAX + (20 * STEP_CHECK_MS) / STEP_PACE_MS + 1, `asked ${counts.asked} times`);
  t.match(watch.stepped(), { code: "clock.stepped", message: /\d+ times in 10 minutes.*find that program/u });
  t.equal(notes.length, STEPS_AT_ONCE_MAX, "records at a pace too");
  await clock.advance(60_000);
  t.ok(isRight(), "the hub's time wins");
  await clock.advance(600_000);
  t.equal(watch.stepped(), undefined, "and it is over 10 minutes later");
});
