// The order of jobs, their limits and their retries, walked on the pure machine.
import { test } from "tap";
import {
  START_PERIOD_MS,
  STARTS_BURST_MAX,
  CHECK_EVERY_MS,
  CHECK_JITTER_MS,
  CHECK_RETRY_MS_MAX,
  UPDATE_FAILURES_MAX,
} from "../../../agent/releases/limits.ts";
import {
  type Effect,
  type Event,
  type ReleaseJob,
  next,
  type JobOutcome,
  start,
  type State,
} from "../../../agent/releases/machine.ts";

/** Applies events in order. @returns the last state, and the effects of the last event only. */
function play(state: State, ...events: readonly Event[]): { readonly state: State; readonly effects: readonly Effect[] } {
  let step: { readonly state: State; readonly effects: readonly Effect[] } = { state, effects: [] };
  for (const event of events) step = next(step.state, event);
  return step;
}

const jobEnded = (outcome: JobOutcome | JobOutcome["kind"], nowMs = 0, random = 0): Event => ({
  kind: "job-ended",
  nowMs,
  random,
  outcome: typeof outcome !== "string" ? outcome : outcome === "continue" ? { kind: "continue", afterMs: 0 } : { kind: outcome },
});
const connected = (nowMs = 0): Event => ({ kind: "connected", nowMs });
const changed = (nowMs = 0): Event => ({ kind: "repository-changed", nowMs });
const hinted = (target: string, nowMs = 0): Event => ({ kind: "update-hinted", target, nowMs });
const timer = (nowMs: number): Event => ({ kind: "timer", nowMs });
const jobs = (effects: readonly Effect[]): readonly ReleaseJob[] =>
  effects.flatMap((effect) => (effect.do === "run" ? [effect.job] : []));
const timers = (effects: readonly Effect[]): readonly number[] =>
  effects.flatMap((effect) => (effect.do === "set-timer" ? [effect.inMs] : []));

/** Started, and no update was pending. */
const IDLE = play(start(0, 0).state, jobEnded("done")).state;

test("[OTA-42] at the start a pending update continues first, and the repository is checked once a day without any hint", async (t) => {
  const { state, effects } = start(0, 0.5);
  t.same(effects, [{ do: "run", job: { kind: "update", target: undefined } }]);
  const idle = play(state, jobEnded("done"));
  t.same(timers(idle.effects), [CHECK_EVERY_MS - CHECK_JITTER_MS / 2]);
  const looked = play(idle.state, timer(CHECK_EVERY_MS), jobEnded("done", CHECK_EVERY_MS, 1));
  t.same(timers(looked.effects), [CHECK_EVERY_MS - CHECK_JITTER_MS], "the next day, earlier by the random share");
});

test("[OTA-42] after each connection the repository is checked, then a pending update continues", async (t) => {
  const look = play(IDLE, connected());
  t.same(jobs(look.effects), [{ kind: "check" }]);
  t.same(jobs(play(look.state, jobEnded("done")).effects), [{ kind: "update", target: undefined }]);
});

test("[OTA-42] jobs run one at a time: what is requested meanwhile follows once", async (t) => {
  const running = play(IDLE, changed());
  const more = play(running.state, changed(1), changed(2), hinted("os/b.json", 3), connected(4));
  t.same(more.effects, [], "no other job starts");
  const second = play(more.state, jobEnded("done", 5));
  t.same(jobs(second.effects), [{ kind: "check" }], "for the request that came after it started");
  const third = play(second.state, jobEnded("done", 6));
  t.same(jobs(third.effects), [{ kind: "update", target: "os/b.json" }]);
  t.same(jobs(play(third.state, jobEnded("done", 7)).effects), []);
});

test("[OTA-42] a second hint waits for the first, a third replaces the second, and one for the active target withdraws it", async (t) => {
  const first = play(IDLE, hinted("os/a.json"));
  t.same(jobs(first.effects), [{ kind: "update", target: "os/a.json" }]);
  const waiting = play(first.state, hinted("os/b.json"), hinted("os/c.json"), jobEnded("continue", 1));
  t.same(jobs(waiting.effects), [{ kind: "update", target: "os/a.json" }], "it continues");
  t.same(jobs(play(waiting.state, jobEnded("done", 2)).effects), [{ kind: "update", target: "os/c.json" }]);
  const again = play(first.state, hinted("os/b.json"), hinted("os/a.json"), jobEnded("done", 1));
  t.same(jobs(again.effects), [], "the newest hint names what already runs");
});

test("[OTA-42] an update that makes no progress makes way for the target of the newest hint", async (t) => {
  const stuck = play(IDLE, hinted("os/a.json"), hinted("os/b.json"), jobEnded("retry", 1));
  t.same(stuck.effects, [
    { do: "give-up", target: "os/a.json", instead: "os/b.json" },
    { do: "run", job: { kind: "update", target: "os/b.json" } },
  ]);
  const backedOff = play(IDLE, hinted("os/a.json"), jobEnded("retry", 1), hinted("os/b.json", 2));
  t.same(backedOff.effects, stuck.effects);
});

test("[OTA-42] a waiting target is reported, and so is its withdrawal, no more often than jobs may start", async (t) => {
  const first = play(IDLE, hinted("os/a.json"));
  const waiting = play(first.state, hinted("os/b.json"));
  t.same(waiting.effects, [{ do: "report-waiting", target: "os/b.json" }]);
  t.same(play(waiting.state, hinted("os/b.json")).effects, [], "once");
  t.same(play(waiting.state, hinted("os/a.json")).effects, [{ do: "report-waiting", target: undefined }]);
  let { state } = first;
  let said = 0;
  for (let n = 0; n < 100; n++) {
    const step = play(state, hinted(`os/${n}.json`));
    said += step.effects.length;
    state = step.state;
  }
  t.equal(said, STARTS_BURST_MAX - 1);
  t.equal(state.waiting, "os/99.json", "it waits nevertheless");
});

test("a check runs between two ranges of a long update", async (t) => {
  const step = play(IDLE, hinted("os/a.json"), changed(1), jobEnded("continue", 2));
  t.same(jobs(step.effects), [{ kind: "check" }]);
  t.same(jobs(play(step.state, jobEnded("done", 3)).effects), [{ kind: "update", target: "os/a.json" }]);
});

test("[OTA-42] hints without end start a burst of jobs, then one in each period", async (t) => {
  let state = IDLE;
  let begun = 0;
  for (let nowMs = 0; nowMs < START_PERIOD_MS; nowMs += 1000) {
    const step = play(state, hinted(`os/${nowMs}.json`, nowMs));
    begun += jobs(step.effects).length;
    state = play(step.state, jobEnded("failed", nowMs)).state;
  }
  t.equal(begun, STARTS_BURST_MAX);
  let looks = 0;
  state = IDLE;
  for (let nowMs = 0; nowMs < 3 * START_PERIOD_MS; nowMs += 1000) {
    const step = play(state, timer(nowMs), changed(nowMs));
    looks += step.state.running === undefined ? 0 : 1;
    state = play(step.state, jobEnded("done", nowMs)).state;
  }
  t.equal(looks, STARTS_BURST_MAX + 2);
});

test("a failed job is retried after longer and longer waits, an update up to a limit, and a connection starts anew", async (t) => {
  let step = play(IDLE, changed());
  const waits: number[] = [];
  for (let n = 0, nowMs = 0; n < 16; n++) {
    step = play(step.state, jobEnded("retry", nowMs, 1));
    const [wait = 0] = timers(step.effects);
    waits.push(wait);
    nowMs += wait;
    step = play(step.state, timer(nowMs));
  }
  t.same(waits.slice(0, 3), [5_000, 10_000, 20_000]);
  t.equal(waits.at(-1), CHECK_RETRY_MS_MAX);

  let update = play(IDLE, hinted("os/a.json"));
  let attempts = 1;
  for (let nowMs = 0; attempts < 100; attempts++) {
    update = play(update.state, jobEnded("retry", nowMs, 0));
    if (update.effects.some((effect) => effect.do === "give-up")) break;
    nowMs += timers(update.effects)[0] ?? 0;
    update = play(update.state, timer(nowMs));
  }
  t.equal(attempts, UPDATE_FAILURES_MAX);
  const anew = play(update.state, connected(1e7), jobEnded("done", 1e7));
  t.same(jobs(anew.effects), [{ kind: "update", target: undefined }], "the release that the warden has");
});

test("a permanent failure is given up at once, a step that succeeds resets the failures, and nothing starts after the stop", async (t) => {
  const never = play(IDLE, hinted("os/a.json"), jobEnded("failed"));
  t.same(never.effects[0], { do: "give-up", target: "os/a.json" });
  const through = play(
    IDLE,
    hinted("os/a.json"),
    jobEnded("retry", 0),
    timer(1e6),
    jobEnded("continue", 1e6),
    jobEnded("retry", 1e6),
  );
  t.same(timers(through.effects), [1000], "as after a first failure");
  const stopped = play(IDLE, { kind: "stop" }, connected(), hinted("os/a.json"), timer(1e9));
  t.same(stopped.effects, []);
});
