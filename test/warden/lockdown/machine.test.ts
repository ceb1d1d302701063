// The state machine alone, under any order of events.
import * as fc from "fast-check";
import { test } from "tap";
import { planHash } from "../../../warden/lockdown/format/index.ts";
import { type Event, next, type PolicyOffer, start, type State } from "../../../warden/lockdown/machine.ts";
import { planLockdown } from "../../../warden/lockdown/plan/index.ts";
import { labPolicy, labSnapshot } from "../../lab/worlds/lockdown.ts";

const policy = labPolicy();
const plan = planLockdown(policy, labSnapshot());
const offer = (counter: number): PolicyOffer => ({ accepted: { counter, planHash: planHash(plan), policy }, plan });

const event: fc.Arbitrary<Event> = fc.oneof(
  fc.integer({ min: 1, max: 9 }).map((counter): Event => ({ kind: "offered", offer: offer(counter) })),
  fc.constantFrom<Event>(
    { kind: "recorded" },
    { kind: "record-failed", code: "file.no-space" },
    { kind: "apply-failed", code: "firewall.refused" },
    { kind: "retry" },
  ),
  fc.nat(100_000).map((monotonicMs): Event => ({ kind: "applied", monotonicMs, nonce: "n" })),
  fc.nat(200_000).map((monotonicMs): Event => ({ kind: "confirmed", monotonicMs, keyid: "k" })),
  fc.constantFrom<Event>({ kind: "withdrawn", reason: "deadline" }, { kind: "withdrawn", reason: "stopped" }),
);

test("[LCK-11] under any events only a policy that was confirmed in time and recorded is changed, and a change begins with its record", async (t) => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      let state: State = start({ v: 1, confirmed: offer(0).accepted }).state;
      for (const one of events) {
        const { state: after, effects } = next(state, one);
        const changed = after.at === "settled" && after.previous?.counter !== state.previous?.counter;
        if (changed && !(state.at === "confirming" && one.kind === "recorded")) return false;
        if (after.at === "confirming" && state.at !== "confirming")
          if (state.at !== "pending" || one.kind !== "confirmed" || one.monotonicMs >= state.confirmByMs) return false;
        if (effects.some((effect) => effect.do === "apply-plan") && !(state.at === "intending" && one.kind === "recorded"))
          return false;
        // the end of the trial must disarm an armed timer
        if (state.at === "pending" && after.at !== "pending" && !effects.some((effect) => effect.do === "disarm-deadline"))
          return false;
        const outcomes = effects.filter((effect) => ["record", "apply-plan", "apply-accepted"].includes(effect.do));
        if (outcomes.length > 1 || (outcomes.length === 1 && outcomes[0] !== effects.at(-1))) return false;
        state = after;
      }
      return true;
    }),
    { numRuns: 2000 },
  );
  t.pass("for all");
});

test("[LCK-11] from any state a sequence of good events leads to rest", async (t) => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 20 }), (events) => {
      let state: State = start(undefined).state;
      for (const one of events) state = next(state, one).state;
      const way: readonly Event[] = [
        { kind: "recorded" },
        { kind: "applied", monotonicMs: 0, nonce: "n" },
        { kind: "withdrawn", reason: "deadline" },
        { kind: "retry" },
      ];
      for (let n = 0; n < 4; n++) for (const one of way) if (state.at !== "settled") state = next(state, one).state;
      return state.at === "settled";
    }),
    { numRuns: 2000 },
  );
  t.pass("for all");
});
