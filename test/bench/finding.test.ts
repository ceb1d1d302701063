import { test } from "tap";
import { finding } from "./finding.ts";
import { markdown } from "./markdown.ts";
import { medianInterval, slopeOf, spreadOf } from "./stats.ts";
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
  const load = { before: 0.2, after: 1, processors: 2 };
  const text = table([{ name: "start", how: "one against the other", peers: [], load, findings: [missed] }]);
  t.match(text, /25 ms\s+10 ms p\s+2\.50\s+<= 2x\s+MISSED by 0\.50/u);
  t.match(text, /"start" was missed: it reads a file/u);
});

test("the interval of a median is that of the order statistics, and needs six samples", async (t) => {
  const upTo = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index + 1);
  t.equal(medianInterval(upTo(5)), undefined);
  // D. B. Owen, Handbook of Statistical Tables, table of the sign test at 5 %, two-sided
  t.same(medianInterval(upTo(6)), { low: 1, high: 6 });
  t.same(medianInterval(upTo(9)), { low: 2, high: 8 });
  t.same(medianInterval(upTo(20)), { low: 6, high: 15 });
  t.same(medianInterval([...upTo(40)].reverse()), { low: 14, high: 27 });
});

test("a target that lies within the spread is neither met nor missed for certain, and the table says so", async (t) => {
  const target = { of: "ratio", is: "at least", bound: 0.7 } as const;
  const judged = (ours: readonly number[]) =>
    finding({ what: "w", unit: "/s", ours, peer: { name: "p", values: ours.map(() => 1) }, target });
  t.equal(judged([0.8, 0.81, 0.79, 0.8, 0.82, 0.8]).certain, true);
  t.equal(judged([0.6, 0.61, 0.59]).certain, true, "three rounds on one side");
  t.equal(judged([0.6, 0.8]).certain, undefined, "two rounds say nothing");
  const open = judged([0.6, 0.9, 0.6, 0.9, 0.72, 0.72]);
  t.equal(open.certain, false);
  const load = { before: 3, after: 3, processors: 2 };
  const section = { name: "audit", how: "one loop against another", load, findings: [open] };
  const peers = [{ name: "p", does: "writes", lacks: "no hash | no chain" }];
  t.match(table([{ ...section, peers }]), /met, NOT CERTAIN: 95 % of 0\.60 \.\. 0\.90 cross it/u);
  t.match(table([{ ...section, peers }]), /BUSY with other work/u);
  const document = markdown([{ ...section, peers }], true);
  t.match(document, /\| p \| writes \| no hash \\\| no chain \|/u);
  t.notOk(document.split("\n").some((line) => !line.startsWith("|") && line.length > 100));
});
