// Hub time is asked for until it is had. A real warden; what the hub does is scripted here, sync.test.ts asks a real one. [ID-10]
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
/** Asked too short a time ago. */
const NOT_ASKED = undefined;

/** The hub's `answers`, one after the other; the last for ever. */
async function watching(t: Test, ...answers: readonly (Answer | Fault)[]) {
  const lab = await labWarden(t);
  const warden = await lab.start();
  const clock = fakeClock();
  const stopped = new AbortController();
  const notes: AuditEntry[] = [];
  const told = { asked: 0, synced: 0 };
  const watch = createTimeWatch({
    warden: lab.client(),
    source: {
      async sync() {
        const answer = answers[Math.min(told.asked, answers.length - 1)];
        told.asked += 1;
        if (answer instanceof Fault) throw answer;
        return answer;
      },
    },
    clock,
    signal: stopped.signal,
    log: () => undefined,
    note: (entry) => notes.push(entry),
    onSynced: () => (told.synced += 1),
  });
  /** Lets the next question come, which has the warden asked first, by a real socket. */
  const later = async (byMs: number): Promise<void> => {
    const before = told.asked;
    await clock.advance(byMs);
    await eventually("the next question", async () => (told.asked > before ? true : undefined));
  };
  return { watch, warden, clock, stopped, notes, told, later };
}

test("[ID-10] a question that failed is asked again, and what it met stands until one succeeds", async (t) => {
  const { watch, told, later, clock } = await watching(t, UNREACHABLE, NOT_ASKED, SYNCED);
  t.equal(watch.clock(), undefined);
  t.equal(await watch.sync("trusted"), false);
  t.match([watch.fault(), watch.clock()], [{ code: "enrol.unreachable" }, { state: "unverified" }]);
  await later(RETRY_MS_MIN);
  t.match(watch.fault(), { code: "enrol.unreachable" }, "a question that was not asked proves nothing");
  await later(2 * RETRY_MS_MIN);
  await eventually("an answer", async () => (watch.fault() === undefined ? true : undefined));
  t.match([watch.clock()?.state, told], ["synced", { asked: 3, synced: 1 }]);
  await clock.advance(2 * RETRY_MS_MAX);
  t.equal(told.asked, 3, "and then no more");
});

test("[ID-10] an impostor is audited once, however often it is met", async (t) => {
  const { watch, notes, later } = await watching(t, IMPOSTOR);
  await watch.sync("in-doubt");
  await later(RETRY_MS_MIN);
  await later(2 * RETRY_MS_MIN);
  t.match(notes, [{ event: "hub.untrusted", result: "refused", detail: { code: "tls.hub-untrusted" } }]);
  t.equal(notes.length, 1);
});

test("[ID-10] a warden that is away is a question that failed; told to stop, nothing is asked any more", async (t) => {
  const { watch, warden, told, clock, stopped } = await watching(t, SYNCED);
  await warden.stop("SIGKILL");
  t.equal(await watch.sync("trusted"), false);
  t.match(watch.fault(), { code: "protocol.closed" });
  t.equal(clock.sleeping, 1);
  stopped.abort();
  await clock.advance(RETRY_MS_MAX);
  t.equal(told.asked, 0);
  t.equal(clock.sleeping, 0);
});
