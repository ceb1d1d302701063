// The bounds of plausible time.
import { test } from "tap";
import { clockBounds, clockState } from "../../../warden/time/index.ts";

const BUILT = Date.UTC(2026, 10, 22);
const BOUNDS = clockBounds(BUILT);

test("[ID-22] the floor is the build date and the ceiling 15 years later, both inclusive", async (t) => {
  t.equal(BOUNDS.ceilingMs, Date.UTC(2041, 10, 22));
  const table: readonly [string, number, string][] = [
    ["1970, as boards without a battery wake", 0, "unset"],
    ["a millisecond below the floor", BUILT - 1, "unset"],
    ["the floor", BUILT, "unverified"],
    ["the ceiling", BOUNDS.ceilingMs, "unverified"],
    ["a millisecond above", BOUNDS.ceilingMs + 1, "unset"],
    ["2099", Date.UTC(2099, 0, 1), "unset"],
    ["no time at all", Number.NaN, "unset"],
  ];
  for (const [what, nowMs, state] of table) t.equal(clockState(nowMs, BOUNDS, false).state, state, what);
});

test("[ID-22] a clock that was set counts as synced only while it stays within its bounds", async (t) => {
  t.equal(clockState(BUILT + 1, BOUNDS, true).state, "synced");
  t.equal(clockState(0, BOUNDS, true).state, "unset");
});
