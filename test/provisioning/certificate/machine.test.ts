import fc from "fast-check";
import { test } from "tap";
import { type Event, next, start, type State } from "../../../provisioning/certificate/machine.ts";
import { CLOCK_SKEW_MS, RENEW_GAP_RATIO, RETRY_MS_MIN } from "../../../provisioning/certificate/limits.ts";

const DAY_MS = 86_400_000;
const CURRENT = { notBeforeMs: 0, notAfterMs: 100 * DAY_MS, receivedMs: 0 };
const NEXT = { notBeforeMs: 80 * DAY_MS, notAfterMs: 180 * DAY_MS, receivedMs: 80 * DAY_MS };

test("[ID-9] renewal starts at 80 % of the lifetime, spread over 4 % of it", (t) => {
  for (const [jitter, day] of [
    [0, 80],
    [0.5, 82],
    [0.999, 83.996],
  ] as const) {
    const { state } = start(CURRENT, undefined, jitter);
    t.same(next(state, { kind: "tick", nowMs: day * DAY_MS - 1 }), { state, effects: [] });
    t.same(next(state, { kind: "tick", nowMs: day * DAY_MS }).effects, [{ do: "request-renewal" }]);
  }
  t.end();
});

test("[ID-9] [ID-24] the life counts from when the certificate was received, however far it was backdated", (t) => {
  const hourMs = 3_600_000;
  const nowMs = 1000 * DAY_MS;
  const backdated = { notBeforeMs: nowMs - DAY_MS, notAfterMs: nowMs + 4 * hourMs };
  const { state } = start({ ...backdated, receivedMs: nowMs }, undefined, 0);
  t.same(next(state, { kind: "tick", nowMs }), { state, effects: [] });
  t.same(next(state, { kind: "tick", nowMs: nowMs + 3.2 * hourMs - 1 }).effects, []);
  t.same(next(state, { kind: "tick", nowMs: nowMs + 3.2 * hourMs }).effects, [{ do: "request-renewal" }]);

  const unknown = next(start(backdated, undefined, 0).state, { kind: "tick", nowMs: nowMs + hourMs });
  t.same(unknown.effects, [{ do: "record-receipt", atMs: nowMs + hourMs }], "not known: it counts from the first tick");
  t.match(unknown.state, { at: "fresh", renewAtMs: nowMs + hourMs + 0.8 * 3 * hourMs });
  const ahead = start({ ...backdated, receivedMs: nowMs + 2 * hourMs }, undefined, 0).state;
  t.same(next(ahead, { kind: "tick", nowMs }), { state: ahead, effects: [] }, "the clock was set back since");
  const impossible = start({ ...backdated, receivedMs: nowMs + 5 * hourMs }, undefined, 0).state;
  t.same(next(impossible, { kind: "tick", nowMs }).effects, [{ do: "record-receipt", atMs: nowMs }], "after its end: not known");
  t.end();
});

test("[ID-24] two certificates never come within a tenth of the life: after a rejected one, an unusable one, and a restart", (t) => {
  const atMs = 85 * DAY_MS;
  const proving: State = { at: "proving", current: CURRENT, next: NEXT };
  t.match(next(proving, { kind: "rejected-by-hub", nowMs: atMs, jitter: 0 }).state, { retryAtMs: 95 * DAY_MS });
  const renewing: State = { at: "renewing", current: CURRENT, attempt: 1 };
  const unusable = { kind: "failed", code: "enrol.mismatch", nowMs: atMs, jitter: 0 } as const;
  t.match(next(renewing, unusable).state, { at: "due", retryAtMs: 95 * DAY_MS });
  t.match(start(CURRENT, undefined, 0, atMs).state, { renewAtMs: 95 * DAY_MS }, "the record of one that was discarded");
  t.match(start(CURRENT, undefined, 0, 89 * DAY_MS).state, { renewAtMs: 95 * DAY_MS }, "but before the end");
  t.match(start(CURRENT, undefined, 0, 94 * DAY_MS).state, { renewAtMs: 99 * DAY_MS }, "never within a twentieth");
  t.end();
});

test("[ID-9] a new certificate replaces the old only after the hub has accepted it", (t) => {
  const renewing: State = { at: "renewing", current: CURRENT, attempt: 1 };
  const issued = next(renewing, { kind: "issued", next: NEXT });
  t.match(issued, { state: { at: "proving", current: CURRENT, next: NEXT }, effects: [{ do: "connect-with-next" }] });
  const proven = next(issued.state, { kind: "proven", jitter: 0 });
  t.match(proven, { state: { at: "fresh", current: NEXT, renewAtMs: 160 * DAY_MS }, effects: [{ do: "swap-durably" }] });
  const refused = next(issued.state, { kind: "rejected-by-hub", nowMs: 81 * DAY_MS, jitter: 0 });
  t.match(refused, { state: { at: "due", current: CURRENT }, effects: [{ do: "discard-next" }] });
  t.match(
    start(CURRENT, NEXT, 0),
    { state: { at: "proving" }, effects: [{ do: "connect-with-next" }] },
    "and after a reboot too",
  );
  t.end();
});

test("[ID-9] failures are retried within the lifetime, Retry-After is honoured, and a clock that is set back lengthens no wait", (t) => {
  const renewing: State = { at: "renewing", current: CURRENT, attempt: 3 };
  const failed = next(renewing, { kind: "failed", code: "enrol.unreachable", nowMs: 85 * DAY_MS, jitter: 0.9 });
  t.match(failed, { state: { at: "due", attempt: 3 }, effects: [] });
  t.same(next(failed.state, { kind: "tick", nowMs: 85 * DAY_MS + 1 }), { state: failed.state, effects: [] });
  t.match(next(failed.state, { kind: "tick", nowMs: 86 * DAY_MS }), { state: { at: "renewing", attempt: 4 } });
  t.match(next(failed.state, { kind: "tick", nowMs: 1 }), { state: { at: "renewing" } });
  const later = next(renewing, { kind: "later", nowMs: 85 * DAY_MS, retryAfterMs: 60_000, jitter: 0.5 });
  t.match(later.state, { at: "due", retryAtMs: 85 * DAY_MS + 63_000 });
  t.end();
});

test("[ID-23] an expired certificate, by our clock or by the hub's, leads to enrolment again", (t) => {
  const states: State[] = [
    start(CURRENT, undefined, 0).state,
    { at: "due", current: CURRENT, retryAtMs: 0, waitMs: 0, attempt: 9 },
    { at: "renewing", current: CURRENT, attempt: 1 },
  ];
  for (const state of states)
    t.same(next(state, { kind: "tick", nowMs: 100 * DAY_MS }), { state: { at: "expired" }, effects: [{ do: "enrol-again" }] });
  const proving: State = { at: "proving", current: CURRENT, next: NEXT };
  t.same(next(proving, { kind: "tick", nowMs: 101 * DAY_MS }).effects, [], "the next one is still valid, so it is proven first");
  t.same(next(proving, { kind: "tick", nowMs: 180 * DAY_MS }).effects, [{ do: "enrol-again" }]);
  const refused = { kind: "failed", code: "enrol.unauthorized", nowMs: 1, jitter: 0 } as const;
  t.same(next({ at: "renewing", current: CURRENT, attempt: 1 }, refused).effects, [{ do: "enrol-again" }]);
  t.end();
});

test("[ID-9] for any events in any order, waits stay in bounds, and only a proven certificate is swapped in", (t) => {
  const nowMs = fc.integer({ min: 0, max: 200 * DAY_MS });
  const jitter = fc.double({ min: 0, max: 0.999, noNaN: true });
  const event: fc.Arbitrary<Event> = fc.oneof(
    fc.record({ kind: fc.constant("tick" as const), nowMs }),
    fc.record({ kind: fc.constant("issued" as const), next: fc.constant(NEXT) }),
    fc.record({ kind: fc.constant("later" as const), nowMs, retryAfterMs: fc.integer({ min: 1000, max: 3_600_000 }), jitter }),
    fc.record({
      kind: fc.constant("failed" as const),
      code: fc.constantFrom("enrol.unreachable", "enrol.unauthorized"),
      nowMs,
      jitter,
    }),
    fc.record({ kind: fc.constant("proven" as const), jitter }),
    fc.record({ kind: fc.constant("rejected-by-hub" as const), nowMs, jitter }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      let { state } = start(CURRENT, undefined, 0);
      for (const one of events) {
        const step = next(state, one);
        if (step.effects.some((effect) => effect.do === "swap-durably") && !(state.at === "proving" && one.kind === "proven"))
          return false;
        if (step.state.at === "due" && step.state !== state && "nowMs" in one) {
          const wait = step.state.retryAtMs - one.nowMs;
          if (wait < RETRY_MS_MIN || wait > 100 * DAY_MS * RENEW_GAP_RATIO) return false;
        }
        state = step.state;
      }
      return true;
    }),
  );
  t.end();
});

test("[TUN-73] a certificate that the hub accepts at present is not over by a clock that the hub has not set", (t) => {
  const { state } = start({ ...CURRENT, receivedMs: CURRENT.notBeforeMs }, undefined, 0);
  const ahead = { kind: "tick", nowMs: CURRENT.notAfterMs + 1800 * DAY_MS } as const;
  t.same(next(state, ahead).effects, [{ do: "enrol-again" }], "nobody contradicts");
  const { state: asking, effects } = next(state, { ...ahead, isContradicted: true });
  t.same(effects, [{ do: "request-renewal" }], "the authority knows");
  t.same(next(asking, { ...ahead, isContradicted: true }), { state: asking, effects: [] });
  const { state: due } = next(asking, { kind: "failed", code: "enrol.unreachable", nowMs: ahead.nowMs, jitter: 0 });
  t.equal(due.at, "due");
  t.same(next(due, { ...ahead, isContradicted: true }), { state: due, effects: [] }, "and it is asked at a pace");
  t.same(next(due, ahead).effects, [{ do: "enrol-again" }], "once the connection is gone");
  t.same(next(asking, { kind: "failed", code: "enrol.unauthorized", nowMs: ahead.nowMs, jitter: 0 }).effects, [
    { do: "enrol-again" },
  ]);
  const proving: State = { at: "proving", current: CURRENT, next: CURRENT };
  t.same(next(proving, { ...ahead, isContradicted: true }), { state: proving, effects: [] }, "the hub decides");
  t.end();
});

test("[TUN-72] a certificate that begins later than the clock says: first the time is asked for, then another certificate", (t) => {
  const future = { notBeforeMs: 60 * DAY_MS, notAfterMs: 160 * DAY_MS, receivedMs: 61 * DAY_MS };
  const { state } = start(future, undefined, 0);
  for (const nowMs of [0, DAY_MS, 60 * DAY_MS - CLOCK_SKEW_MS - 1]) {
    t.same(next(state, { kind: "tick", nowMs }), { state, effects: [{ do: "ask-time" }] }, "the clock may be wrong");
    t.same(next(state, { kind: "tick", nowMs, isSure: true }), { state: { at: "expired" }, effects: [{ do: "enrol-again" }] });
    t.same(next(state, { kind: "refused-by-hub", nowMs }).effects, [{ do: "enrol-again" }], "clock and hub say it");
  }
  const nowMs = 60 * DAY_MS - CLOCK_SKEW_MS;
  t.same(next(state, { kind: "tick", nowMs, isSure: true }), { state, effects: [] }, "within what clocks differ");
  const due: State = { at: "due", current: future, retryAtMs: 150 * DAY_MS, waitMs: DAY_MS, attempt: 1 };
  t.same(next(due, { kind: "tick", nowMs: 0, isSure: true }).effects, [{ do: "enrol-again" }]);
  const proving: State = { at: "proving", current: CURRENT, next: future };
  t.same(next(proving, { kind: "tick", nowMs: DAY_MS, isSure: true }), { state: proving, effects: [] }, "the hub decides");
  t.end();
});

test("[TUN-71] refusals of the hub lead to the question for another certificate, and an acceptance ends that", (t) => {
  const { state: fresh } = start(CURRENT, undefined, 0);
  const asked = next(fresh, { kind: "refused-by-hub", nowMs: DAY_MS });
  t.match(asked, { state: { at: "renewing", refused: true }, effects: [{ do: "request-renewal" }] });
  for (const code of ["enrol.unauthorized", "enrol.revoked"] as const)
    t.same(next(asked.state, { kind: "failed", code, nowMs: DAY_MS, jitter: 0 }).effects, [{ do: "enrol-again" }], code);
  const away = next(asked.state, { kind: "failed", code: "enrol.unreachable", nowMs: DAY_MS, jitter: 0 });
  t.match(away, { state: { at: "due", refused: true }, effects: [] });
  t.same(next(away.state, { kind: "accepted-by-hub", jitter: 0 }), { state: fresh, effects: [] }, "it was the broker's trouble");
  const own = next(
    { at: "renewing", current: CURRENT, attempt: 1 },
    { kind: "failed", code: "enrol.unreachable", nowMs: 85 * DAY_MS, jitter: 0 },
  );
  t.same(next(own.state, { kind: "accepted-by-hub", jitter: 0 }).state, own.state, "a renewal that was due stays due");
  t.end();
});
