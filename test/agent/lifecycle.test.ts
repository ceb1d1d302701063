// The life of a device, from the first power-on.
import fc from "fast-check";
import { test } from "tap";
import { type LifeEvent, type LifeState, next } from "../../agent/lifecycle.ts";
import { LIFE_STATES } from "../../agent/status/format.ts";

const EVENTS: readonly LifeEvent["kind"][] = [
  "key-ready",
  "requested",
  "certificate-ready",
  "connected",
  "disconnected",
  "certificate-lost",
];

test("a first power-on goes blank, keyed, requested, enrolled, connected", async (t) => {
  const states: LifeState[] = ["blank"];
  for (const kind of ["key-ready", "requested", "certificate-ready", "connected"] as const)
    states.push(next(states.at(-1) ?? "blank", { kind }));
  t.same(states, ["blank", "keyed", "requested", "enrolled", "connected"]);
});

test("[ID-23] after the loss of its certificate a device enrols again with the same key and never becomes blank", async (t) => {
  for (const state of ["enrolled", "connected", "disconnected"] as const)
    t.equal(next(state, { kind: "certificate-lost" }), "keyed");
  t.equal(next("blank", { kind: "certificate-lost" }), "blank");
});

test("no device connects before it has a certificate, and none becomes blank again", async (t) => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...EVENTS), { maxLength: 40 }), (kinds) => {
      let state: LifeState = "blank";
      let certified = false;
      for (const kind of kinds) {
        const before: LifeState = state;
        state = next(state, { kind });
        if (kind === "certificate-ready" && before !== "blank") certified = true;
        if (kind === "certificate-lost" && before !== "blank") certified = false;
        if (state === "connected" && !certified) return false;
        if (before !== "blank" && state === "blank") return false;
      }
      return LIFE_STATES.includes(state);
    }),
  );
  t.pass("for every sequence that was tried");
});
