import { test } from "tap";
import {
  BEGINNING_PERIOD_MS,
  BEGINNINGS_BURST_MAX,
  LOOK_EVERY_MS,
  LOOK_JITTER_MS,
  LOOK_RETRY_MS_MAX,
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

/** Applies events in turn. @returns the last state, and the effects of the last event alone. */
function play(state: State, ...events: readonly Event[]): { readonly state: State; readonly effects: readonly Effect[] } {
  let step: { readonly state: State; readonly effects: readonly Effect[] } = { state, effects: [] };
  for (const event of events) step = next(step.state, event);
  return step;
}

const ended = (outcome: JobOutcome | JobOutcome["kind"], nowMs = 0, random = 0): Event => ({
  kind: "ended",
  nowMs,
  random,
  outcome: typeof outcome !== "string" ? outcome : outcome === "more" ? { kind: "more", afterMs: 0 } : { kind: outcome },
});
const connected = (nowMs = 0): Event => ({ kind: "connected", nowMs });
const changed = (nowMs = 0): Event => ({ kind: "changed", nowMs });
const pointed = (target: string, nowMs = 0): Event => ({ kind: "pointed", target, nowMs });
const woken = (nowMs: number): Event => ({ kind: "woken", nowMs });
const jobs = (effects: readonly Effect[]): readonly ReleaseJob[] =>
  effects.flatMap((effect) => (effect.do === "run" ? [effect.job] : []));
const wakes = (effects: readonly Effect[]): readonly number[] =>
  effects.flatMap((effect) => (effect.do === "wake" ? [effect.inMs] : []));

/** Started, and the question what was left pending is answered with nothing. */
const IDLE = play(start(0, 0).state, ended("done")).state;

test("[OTA-42] a program that starts goes on with what is pending, and looks once a day though nobody tells it to", async (t) => {
  const { state, effects } = start(0, 0.5);
  t.same(effects, [{ do: "run", job: { kind: "update", target: undefined } }]);
  const idle = play(state, ended("done"));
  t.same(wakes(idle.effects), [LOOK_EVERY_MS - LOOK_JITTER_MS / 2]);
  const looked = play(idle.state, woken(LOOK_EVERY_MS), ended("done", LOOK_EVERY_MS, 1));
  t.same(wakes(looked.effects), [LOOK_EVERY_MS - LOOK_JITTER_MS], "the next day, earlier by what the dice say");
});

test("[OTA-42] after each connection it looks, then goes on with an update that is pending", async (t) => {
  const look = play(IDLE, connected());
  t.same(jobs(look.effects), [{ kind: "look" }]);
  t.same(jobs(play(look.state, ended("done")).effects), [{ kind: "update", target: undefined }]);
});

test("[OTA-42] one thing at a time: what is asked for meanwhile comes after, once", async (t) => {
  const running = play(IDLE, changed());
  const more = play(running.state, changed(1), changed(2), pointed("os/b.json", 3), connected(4));
  t.same(more.effects, [], "nothing begins beside it");
  const second = play(more.state, ended("done", 5));
  t.same(jobs(second.effects), [{ kind: "look" }], "for what came after it began");
  const third = play(second.state, ended("done", 6));
  t.same(jobs(third.effects), [{ kind: "update", target: "os/b.json" }]);
  t.same(jobs(play(third.state, ended("done", 7)).effects), []);
});

test("[OTA-42] of two hints at once the second waits for the first, a third takes its place, and one of the same is none", async (t) => {
  const first = play(IDLE, pointed("os/a.json"));
  t.same(jobs(first.effects), [{ kind: "update", target: "os/a.json" }]);
  const waiting = play(first.state, pointed("os/b.json"), pointed("os/c.json"), ended("more", 1));
  t.same(jobs(waiting.effects), [{ kind: "update", target: "os/a.json" }], "it goes on");
  t.same(jobs(play(waiting.state, ended("done", 2)).effects), [{ kind: "update", target: "os/c.json" }]);
  const again = play(first.state, pointed("os/b.json"), pointed("os/a.json"), ended("done", 1));
  t.same(jobs(again.effects), [], "the newest word is what already runs");
});

test("[OTA-42] an update that does not get on makes way for the target that was pointed at last", async (t) => {
  const stuck = play(IDLE, pointed("os/a.json"), pointed("os/b.json"), ended("again", 1));
  t.same(stuck.effects, [
    { do: "give-up", target: "os/a.json", instead: "os/b.json" },
    { do: "run", job: { kind: "update", target: "os/b.json" } },
  ]);
  const backedOff = play(IDLE, pointed("os/a.json"), ended("again", 1), pointed("os/b.json", 2));
  t.same(backedOff.effects, stuck.effects);
});

test("[OTA-42] that a target waits is said, and that none does any more; not more often than anything is begun", async (t) => {
  const first = play(IDLE, pointed("os/a.json"));
  const waiting = play(first.state, pointed("os/b.json"));
  t.same(waiting.effects, [{ do: "waits", target: "os/b.json" }]);
  t.same(play(waiting.state, pointed("os/b.json")).effects, [], "once");
  t.same(play(waiting.state, pointed("os/a.json")).effects, [{ do: "waits", target: undefined }]);
  let { state } = first;
  let said = 0;
  for (let n = 0; n < 100; n++) {
    const step = play(state, pointed(`os/${n}.json`));
    said += step.effects.length;
    state = step.state;
  }
  t.equal(said, BEGINNINGS_BURST_MAX - 1);
  t.equal(state.next, "os/99.json", "it waits all the same");
});

test("between two stretches of a long update a look is not forgotten", async (t) => {
  const step = play(IDLE, pointed("os/a.json"), changed(1), ended("more", 2));
  t.same(jobs(step.effects), [{ kind: "look" }]);
  t.same(jobs(play(step.state, ended("done", 3)).effects), [{ kind: "update", target: "os/a.json" }]);
});

test("[OTA-42] hints without end begin so many things at once, then one a period", async (t) => {
  let state = IDLE;
  let begun = 0;
  for (let nowMs = 0; nowMs < BEGINNING_PERIOD_MS; nowMs += 1000) {
    const step = play(state, pointed(`os/${nowMs}.json`, nowMs));
    begun += jobs(step.effects).length;
    state = play(step.state, ended("never", nowMs)).state;
  }
  t.equal(begun, BEGINNINGS_BURST_MAX);
  let looks = 0;
  state = IDLE;
  for (let nowMs = 0; nowMs < 3 * BEGINNING_PERIOD_MS; nowMs += 1000) {
    const step = play(state, woken(nowMs), changed(nowMs));
    looks += step.state.running === undefined ? 0 : 1;
    state = play(step.state, ended("done", nowMs)).state;
  }
  t.equal(looks, BEGINNINGS_BURST_MAX + 2);
});

test("what failed is tried again later each time, an update so often, and a connection begins anew", async (t) => {
  let step = play(IDLE, changed());
  const waits: number[] = [];
  for (let n = 0, nowMs = 0; n < 16; n++) {
    step = play(step.state, ended("again", nowMs, 1));
    const [wait = 0] = wakes(step.effects);
    waits.push(wait);
    nowMs += wait;
    step = play(step.state, woken(nowMs));
  }
  t.same(waits.slice(0, 3), [5_000, 10_000, 20_000]);
  t.equal(waits.at(-1), LOOK_RETRY_MS_MAX);

  let update = play(IDLE, pointed("os/a.json"));
  let attempts = 1;
  for (let nowMs = 0; attempts < 100; attempts++) {
    update = play(update.state, ended("again", nowMs, 0));
    if (update.effects.some((effect) => effect.do === "give-up")) break;
    nowMs += wakes(update.effects)[0] ?? 0;
    update = play(update.state, woken(nowMs));
  }
  t.equal(attempts, UPDATE_FAILURES_MAX);
  const anew = play(update.state, connected(1e7), ended("done", 1e7));
  t.same(jobs(anew.effects), [{ kind: "update", target: undefined }], "whatever the warden is at");
});

test("what will not pass is given up at once, a step that got through forgets the failures before it, and nothing begins after the stop", async (t) => {
  const never = play(IDLE, pointed("os/a.json"), ended("never"));
  t.same(never.effects[0], { do: "give-up", target: "os/a.json" });
  const through = play(IDLE, pointed("os/a.json"), ended("again", 0), woken(1e6), ended("more", 1e6), ended("again", 1e6));
  t.same(wakes(through.effects), [1000], "as after a first failure");
  const stopped = play(IDLE, { kind: "stop" }, connected(), pointed("os/a.json"), woken(1e9));
  t.same(stopped.effects, []);
});
