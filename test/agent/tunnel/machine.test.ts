import fc from "fast-check";
import { test } from "tap";
import { type Effect, type EndedBy, type Event, initial, next, type State } from "../../../agent/tunnel/machine.ts";

const WEEK_MS = 7 * 86_400_000;

/** Applies the events in order. @returns the last state, and all effects. */
function play(state: State, ...events: readonly Event[]): { readonly state: State; readonly effects: readonly Effect[] } {
  const effects: Effect[] = [];
  let current = state;
  for (const event of events) {
    const step = next(current, event);
    current = step.state;
    effects.push(...step.effects);
  }
  return { state: current, effects };
}

const START: Event = { kind: "start", wallMs: 0 };
const WAITED: Event = { kind: "waited", wallMs: 0 };
const connack = (nowMs: number, wallMs = 0): Event => ({ kind: "connack", nowMs, wallMs });
const failed = (random: number, failure: "mqtt-version" | "silent" | "other" = "other"): Event => ({
  kind: "failed",
  failure,
  nowMs: 0,
  random,
});
const failedAt = (nowMs: number, crowded = false): Event => ({ kind: "failed", failure: "other", crowded, nowMs, random: 1 });
const ended = (nowMs: number, random = 0, by: EndedBy = "peer"): Event => ({
  kind: "ended",
  by,
  nowMs,
  wallMs: 0,
  random,
});
const waits = (effects: readonly Effect[]): readonly number[] =>
  effects.filter((effect) => effect.do === "wait").map(({ delayMs }) => delayMs);
const connects = (effects: readonly Effect[]): readonly string[] =>
  effects.filter((effect) => effect.do === "connect").map(({ mqtt }) => mqtt);

test("[TUN-4] the wait is between one second and a bound that doubles from 2 s to 300 s", async (t) => {
  const rounds = Array.from({ length: 10 }, () => [failed(1), WAITED]).flat();
  const longest = waits(play(initial(undefined), START, ...rounds).effects);
  t.same(longest, [2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000, 300_000]);
  const shortest = waits(
    play(initial(undefined), START, ...rounds.map((event) => (event.kind === "failed" ? failed(0) : event))).effects,
  );
  t.same(new Set(shortest), new Set([1000]), "jitter is full: the shortest wait never grows");
});

test("[TUN-4] only a connection that stayed up for 60 s resets the bound", async (t) => {
  const worn = play(initial(undefined), START, failed(1), WAITED, failed(1), WAITED).state;
  t.same(waits(play(worn, connack(0), ended(59_999, 1)).effects), [8000], "a second too short");
  t.same(waits(play(worn, connack(0), ended(60_000, 1)).effects), [2000], "stable");
});

test("[TUN-4] behind a hub that takes connections and loses them again no wait passes 30 s", async (t) => {
  const flaps = Array.from({ length: 12 }, (_, n) => [connack(n * 1000), ended(n * 1000 + 500, 1, "fault"), WAITED]).flat();
  t.same(waits(play(initial(undefined), START, ...flaps).effects).slice(0, 6), [2000, 4000, 8000, 16_000, 30_000, 30_000]);
  const down = Array.from({ length: 12 }, (_, n) => [failedAt(n * 50_000), WAITED]).flat();
  const after = play(initial(undefined), START, connack(0), ended(0, 1, "fault"), WAITED, ...down);
  t.equal(Math.max(...waits(after.effects)), 30_000, "also while it does not take them for ten minutes");
  const longer = play(after.state, failedAt(600_001), WAITED, failedAt(600_002), WAITED, failedAt(600_003), WAITED);
  t.same(waits(longer.effects), [60_000, 120_000, 240_000], "then it counts as away");
});

test("[TUN-4] a hub that refuses, is busy or does not answer in time is asked later and later, up to 300 s", async (t) => {
  const busy = Array.from({ length: 10 }, (_, n) => [failedAt(n, true), WAITED]).flat();
  const after = play(initial(undefined), START, connack(0), ended(0, 1, "fault"), WAITED, ...busy);
  t.equal(waits(after.effects).at(-1), 300_000);
  const sent: Event = { kind: "ended", by: "fault", crowded: true, nowMs: 1, wallMs: 0, random: 1 };
  const sentAway = Array.from({ length: 10 }, () => [connack(0), sent, WAITED]).flat();
  t.equal(waits(play(initial(undefined), START, ...sentAway).effects).at(-1), 300_000, "also after a CONNACK");
  t.equal(waits(play(after.state, connack(0), ended(1, 1, "fault")).effects).at(-1), 30_000, "until it takes one again");
});

test("[TUN-4] whatever happens, a wait is between 1 s and its bound, and within 30 s of a hub that flaps", async () => {
  const nowMs = fc.integer({ min: 0, max: 2_000_000 });
  const random = fc.double({ min: 0, max: 0.999, noNaN: true });
  const event: fc.Arbitrary<Event> = fc.oneof(
    fc.constant(WAITED),
    fc.record({ kind: fc.constant("connack" as const), nowMs, wallMs: fc.constant(0) }),
    fc.record({
      kind: fc.constant("failed" as const),
      failure: fc.constantFrom("mqtt-version" as const, "silent" as const, "other" as const),
      crowded: fc.boolean(),
      nowMs,
      random,
    }),
    fc.record({
      kind: fc.constant("ended" as const),
      by: fc.constantFrom("peer" as const, "taken-over" as const, "fault" as const, "us" as const),
      crowded: fc.boolean(),
      nowMs,
      wallMs: fc.constant(0),
      random,
    }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      let state = play(initial(undefined), START).state;
      for (const each of events) {
        const step = next(state, each);
        for (const delayMs of waits(step.effects)) {
          const isFlap = each.kind === "ended" && each.by === "fault" && !each.crowded;
          if (delayMs < 1000 || delayMs > (isFlap ? 30_000 : 300_000)) return false;
        }
        state = step.state;
      }
      return true;
    }),
    { numRuns: 300 },
  );
});

test("[TUN-5] a hub that names the other client is believed for any connection that was not stable", async (t) => {
  const taken = [connack(0), ended(45_000, 0, "taken-over"), WAITED];
  const third = play(initial(undefined), START, ...taken, ...taken, connack(0), ended(45_000, 0, "taken-over"));
  t.match(third.effects.at(-2), { do: "report-kicks", kicks: 3 });
  const stable = play(initial(undefined), START, ...taken, ...taken, connack(0), ended(60_000, 0, "taken-over"));
  t.notOk(stable.effects.some((effect) => effect.do === "report-kicks"));
});

test("[TUN-5] three connections in a row that the peer ends within 10 s are reported, and the longest wait follows", async (t) => {
  const kick = [connack(0), ended(9999), WAITED];
  const twice = play(initial(undefined), START, ...kick, ...kick);
  t.notOk(
    twice.effects.some((effect) => effect.do === "report-kicks"),
    "two are not a loop yet",
  );
  const third = play(twice.state, connack(0), ended(9999));
  t.same(third.effects, [
    { do: "report-kicks", kicks: 3 },
    { do: "wait", delayMs: 300_000 },
  ]);
  t.match(
    play(third.state, WAITED, connack(0), ended(1)).effects.at(-2),
    { do: "report-kicks", kicks: 4 },
    "one more is enough to report again",
  );
});

test("[TUN-5] a longer connection, a local fault and a refusal each end the series of kicks", async (t) => {
  const kick = [connack(0), ended(5000), WAITED];
  const twice = play(initial(undefined), START, ...kick, ...kick).state;
  const breakers: readonly (readonly [string, readonly Event[]])[] = [
    ["longer", [connack(0), ended(10_000), WAITED]],
    ["a local fault", [connack(0), ended(5000, 0, "fault"), WAITED]],
    ["a refusal", [failed(0), WAITED]],
  ];
  for (const [what, events] of breakers) {
    const after = play(twice, ...events, connack(0), ended(1));
    t.notOk(
      after.effects.some((effect) => effect.do === "report-kicks"),
      what,
    );
  }
});

test("[TUN-10] a broker that refuses MQTT 5 is asked with 3.1.1 at once, and remembered once that has worked", async (t) => {
  const refused = play(initial(undefined), START, failed(0, "mqtt-version"));
  t.same(connects(refused.effects), ["5", "3.1.1"]);
  t.notOk(
    refused.effects.some((effect) => effect.do === "remember"),
    "a refusal alone proves nothing",
  );
  const worked = play(refused.state, connack(0, 1000));
  t.same(worked.effects, [{ do: "remember", mqtt5RefusedAtMs: 1000 }]);
  t.same(connects(play(worked.state, ended(60_000), { kind: "waited", wallMs: 60_000 }).effects), ["3.1.1"]);
});

test("[TUN-10] after a week MQTT 5 is offered again; the outcome clears or renews the remembered refusal", async (t) => {
  const offered = play(initial(1000), { kind: "start", wallMs: 1000 + WEEK_MS });
  t.same(connects(offered.effects), ["5"]);
  t.same(connects(play(initial(1000), { kind: "start", wallMs: 999 + WEEK_MS }).effects), ["3.1.1"], "not a millisecond earlier");
  const accepted = play(offered.state, connack(0, 2000 + WEEK_MS));
  t.same(accepted.effects, [{ do: "remember", mqtt5RefusedAtMs: undefined }], "the broker speaks MQTT 5 now");
  const refused = play(offered.state, failed(0, "mqtt-version"), connack(0, 3000 + WEEK_MS));
  t.same(refused.effects.at(-1), { do: "remember", mqtt5RefusedAtMs: 3000 + WEEK_MS });
});

test("[TUN-10] MQTT 5 is offered when the wall clock is before the remembered refusal", async (t) => {
  t.same(connects(play(initial(1_700_000_000_000), { kind: "start", wallMs: 0 }).effects), ["5"]);
});

test("[TUN-10] a broker that closes two MQTT 5 connections without an answer is asked with 3.1.1", async (t) => {
  const first = play(initial(undefined), START, failed(0, "silent"));
  t.same(connects(first.effects), ["5"], "once may be chance");
  const second = play(first.state, WAITED, failed(0, "silent"));
  t.same(connects(second.effects), ["5", "3.1.1"]);
  t.same(
    connects(play(second.state, failed(0, "silent"), WAITED).effects),
    ["5"],
    "the version was not the cause, so MQTT 5 is next",
  );
});

test("[TUN-10] a remembered broker that now refuses 3.1.1 is offered MQTT 5 after a wait", async (t) => {
  const { effects } = play(initial(1000), { kind: "start", wallMs: 2000 }, failed(0, "mqtt-version"), {
    kind: "waited",
    wallMs: 3000,
  });
  t.same(effects, [
    { do: "connect", mqtt: "3.1.1" },
    { do: "wait", delayMs: 1000 },
    { do: "remember", mqtt5RefusedAtMs: undefined },
    { do: "connect", mqtt: "5" },
  ]);
});

test("[TUN-9] stop closes the connection or cancels the wait, and plans nothing more", async (t) => {
  const connecting = play(initial(undefined), START).state;
  const connected = play(connecting, connack(0)).state;
  const waiting = play(connecting, failed(0)).state;
  t.same(play(connecting, { kind: "stop" }, failed(0)).effects, [{ do: "close" }]);
  t.same(play(connected, { kind: "stop" }, ended(1, 0, "us")).effects, [{ do: "close" }]);
  t.same(play(waiting, { kind: "stop" }, WAITED).effects, [{ do: "stop-waiting" }]);
  t.same(play(initial(undefined), { kind: "stop" }).effects, []);
});

test("[TUN-4] reconnect connects at once; a connection that is up is closed first", async (t) => {
  const waiting = play(initial(undefined), START, failed(0)).state;
  t.same(play(waiting, { kind: "reconnect", wallMs: 0 }).effects, [{ do: "stop-waiting" }, { do: "connect", mqtt: "5" }]);
  const connected = play(initial(undefined), START, connack(0)).state;
  const restarted = play(connected, { kind: "reconnect", wallMs: 0 }, ended(1, 0, "us"));
  t.same(restarted.effects, [{ do: "close" }, { do: "connect", mqtt: "5" }], "without a wait, because nothing failed");
});

test("[TUN-4] reconnect while connecting replaces the attempt once, and does not count as a failure", async (t) => {
  const reconnect: Event = { kind: "reconnect", wallMs: 0 };
  const connecting = play(initial(undefined), START, failed(0, "silent"), WAITED).state;
  const restarted = play(connecting, reconnect, reconnect);
  t.same(restarted.effects, [{ do: "close" }], "an attempt is closed only once");
  const second = play(restarted.state, failed(0, "silent"));
  t.same(second.effects, [{ do: "connect", mqtt: "5" }], "at once, and a closed attempt does not count as a silent broker");
  t.same(play(second.state, failed(0)).effects, [{ do: "wait", delayMs: 1000 }], "the next failure counts again");
  const connected = play(restarted.state, connack(0));
  t.same(
    play(connected.state, ended(1, 0, "us")).effects,
    [{ do: "connect", mqtt: "5" }],
    "when CONNACK came first, the connection is closed and made again",
  );
  t.same(play(restarted.state, { kind: "stop" }, failed(0)).effects, [{ do: "close" }], "stop takes precedence");
});
