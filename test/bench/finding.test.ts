import { test } from "tap";
import { finding } from "./finding.ts";
import { slopeOf, spreadOf } from "./stats.ts";
import { table } from "./table.ts";

test("the median of an even number of samples lies between the middle two", async (t) => {
  t.same(spreadOf([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4, samples: 4 });
  t.same(spreadOf([3, 1, 2]), { median: 2, min: 1, max: 3, samples: 3 });
  t.throws(() => spreadOf([]), { code: "assert.broken" });
});

test("the slope of a line is found, and needs two places", async (t) => {
  t.equal(slopeOf([0, 1, 2, 3].map((x) => ({ x, y: 5 + 2 * x }))), 2);
  t.throws(() => slopeOf([{ x: 1, y: 1 }]), { code: "assert.broken" });
});

test("the ratio is taken round by round: a slow minute of the machine slows both of a pair", async (t) => {
  const found = finding({ what: "w", unit: "ms", ours: [10, 100, 12], peer: { name: "p", values: [20, 200, 24] } });
  t.same(found.ratio, { median: 0.5, min: 0.5, max: 0.5, samples: 3 });
});

test("a target counts at its bound, and a missed one says by how much and why", async (t) => {
  const compared = { what: "start", unit: "ms", peer: { name: "p", values: [10] }, whyMissed: "it reads a file" } as const;
  const target = { of: "ratio", is: "at most", bound: 2 } as const;
  const met = finding({ ...compared, ours: [20], target });
  t.equal(met.met, true);
  t.equal(met.why, undefined);
  t.equal(finding({ ...compared, ours: [20], target: { ...target, is: "below" } }).met, false);
  t.equal(finding({ ...compared, ours: [20] }).met, undefined, "without a target nothing is judged");
  const missed = finding({ ...compared, ours: [25], target });
  const text = table([{ name: "start", how: "one against the other", findings: [missed] }]);
  t.match(text, /25 ms\s+10 ms p\s+2\.50\s+<= 2x\s+MISSED by 0\.50/u);
  t.match(text, /"start" was missed: it reads a file/u);
});

test("a target that some rounds met and some missed says so", async (t) => {
  const target = { of: "ratio", is: "at most", bound: 3 } as const;
  const peer = { name: "quiet", values: [10, 10, 10] };
  const shown = (ours: readonly number[]): string =>
    table([{ name: "hub", how: "beside", findings: [finding({ what: "GET", unit: "ms", ours, peer, target })] }]);
  t.match(shown([20, 25, 29]), /<= 3x\s+met\n/u);
  t.match(shown([20, 25, 45]), /met, NOT IN EVERY ROUND/u);
  t.match(shown([20, 35, 45]), /MISSED by 0\.50, NOT IN EVERY ROUND/u);
  t.match(shown([35, 35, 45]), /MISSED by 0\.50\n/u);
});
