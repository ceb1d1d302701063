// The attempts to set the clock until one succeeds, with a real warden. The hub's answers are
// scripted here; sync.test.ts asks a real server. [ID-10]
import { type Test, test } from "tap";
import type { TimeSync } from "../../../agent/time/index.ts";
import { createTimeWatch, RETRY_MS_MAX, RETRY_MS_MIN } from "../../../agent/time/watch.ts";
import { Fault } from "../../../hal/fault.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
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
  const watch = createTimeWatch({
    warden: lab.client(),
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
