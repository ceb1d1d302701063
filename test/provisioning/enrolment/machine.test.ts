import fc from "fast-check";
import { test } from "tap";
import { BLANK, type Event, next, type State } from "../../../provisioning/enrolment/machine.ts";

const REQUESTED: State = { at: "requested", failures: 0 };

test("[ID-7] from nothing to a certificate, step by step", (t) => {
  t.same(next(BLANK, { kind: "go" }), { state: BLANK, effect: { do: "settle-key" } });
  const keyed = next(BLANK, { kind: "key-ready" });
  t.same(keyed, { state: { at: "keyed", failures: 0 }, effect: { do: "settle-request" } });
  const requested = next(keyed.state, { kind: "request-ready" });
  t.same(requested, { state: REQUESTED, effect: { do: "ask" } });
  t.same(next(requested.state, { kind: "certificate-ready" }), { state: { at: "enrolled", failures: 0 }, effect: undefined });
  t.same(next(keyed.state, { kind: "certificate-ready" }).state.at, "enrolled", "the certificate of an earlier run");
  t.end();
});

test("[ID-7] Retry-After is honoured, with at most a tenth added, and is not a failure", (t) => {
  const tired: State = { at: "requested", failures: 7 };
  t.same(next(tired, { kind: "later", retryAfterMs: 10_000, jitter: 0 }), {
    state: REQUESTED,
    effect: { do: "wait", forMs: 10_000 },
  });
  t.same(next(tired, { kind: "later", retryAfterMs: 10_000, jitter: 0.5 }).effect, { do: "wait", forMs: 10_500 });
  t.end();
});

test("[ID-7] failures back off with full jitter to 300 s; after a person's refusal the device asks slowly", (t) => {
  const waitOf = (failures: number, jitter: number, code: "enrol.unreachable" | "enrol.denied"): unknown =>
    next({ at: "requested", failures }, { kind: "failed", code, jitter }).effect;
  t.same(waitOf(0, 1, "enrol.unreachable"), { do: "wait", forMs: 2000 });
  t.same(waitOf(3, 1, "enrol.unreachable"), { do: "wait", forMs: 16_000 });
  t.same(waitOf(500, 1, "enrol.unreachable"), { do: "wait", forMs: 300_000 });
  t.same(waitOf(500, 0, "enrol.unreachable"), { do: "wait", forMs: 1000 });
  t.same(waitOf(0, 0, "enrol.denied"), { do: "wait", forMs: 900_000 });
  t.end();
});

test("[ID-7] for any events in any order, no step is taken back, waits stay in bounds, and enrolment never stops before its end", (t) => {
  const jitter = fc.double({ min: 0, max: 0.999, noNaN: true });
  const event: fc.Arbitrary<Event> = fc.oneof(
    fc.constantFrom<Event>({ kind: "go" }, { kind: "key-ready" }, { kind: "request-ready" }, { kind: "certificate-ready" }),
    fc.record({ kind: fc.constant("later" as const), retryAfterMs: fc.integer({ min: 1000, max: 3_600_000 }), jitter }),
    fc.record({
      kind: fc.constant("failed" as const),
      code: fc.constantFrom("enrol.timeout", "enrol.denied", "file.no-space"),
      jitter,
    }),
  );
  const rank = { blank: 0, keyed: 1, requested: 2, enrolled: 3 } as const;
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      let state = BLANK;
      for (const one of events) {
        const step = next(state, one);
        if (rank[step.state.at] < rank[state.at]) return false;
        if (step.effect?.do === "wait" && (step.effect.forMs < 1000 || step.effect.forMs > 3_960_000)) return false;
        if (one.kind === "go" && (step.effect === undefined) !== (state.at === "enrolled")) return false;
        state = step.state;
      }
      return true;
    }),
  );
  t.end();
});
