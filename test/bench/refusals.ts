// What a refusal costs at every edge, against a valid input of the same size. [STA-12]
import { Fault } from "../../hal/fault.ts";
import { allEdges, type Edge } from "../lab/edges/index.ts";
import type { Measure } from "./bench.ts";
import { type Finding, finding } from "./finding.ts";

/** A refusal that costs less harms nobody, whatever its ratio; a valid input counts as much. */
const FLOOR_US = 1000;
const BATCH_US_MIN = 2000;
const CALLS_MAX = 64;
const TARGET = { of: "ratio", is: "at most", bound: 5 } as const;

export const refusals: Measure = {
  name: "refusals",
  peers: [{ name: "valid", does: "takes a valid input of the same size at the same edge", lacks: "nothing is refused" }],
  how: `processor time of the worst refusal at each edge, garbage collection included, against a valid input of the same size (a shorter one by its share); what costs less than ${FLOOR_US} us counts as ${FLOOR_US} us`,
  async run({ quick, progress }) {
    const rounds = quick ? 3 : 7;
    const findings: Finding[] = [];
    for (const [name, edge] of await allEdges()) {
      progress(name);
      const worst = await worstOf(edge);
      if (worst === undefined) continue;
      const valid = edge.valid();
      const share = worst.input.byteLength / valid.byteLength;
      const ours: number[] = [];
      const theirs: number[] = [];
      for (let round = 0; round < rounds; round += 1) {
        ours.push(Math.max(FLOOR_US, await costUs(edge, worst.input)));
        theirs.push(Math.max(FLOOR_US, share * (await costUs(edge, valid))));
      }
      findings.push(
        finding({ what: `${name}: ${worst.what}`, unit: "us", ours, peer: { name: "valid", values: theirs }, target: TARGET }),
      );
    }
    return findings;
  },
};

/** The input that costs most of those that are refused, by a few calls each. */
async function worstOf(edge: Edge): Promise<{ readonly what: string; readonly input: Uint8Array } | undefined> {
  let found: { readonly what: string; readonly input: Uint8Array; readonly us: number } | undefined;
  for (const [what, make] of edge.worst) {
    const input = make();
    if (!(await isRefused(edge, input))) continue;
    const us = Math.min(await costUs(edge, input), await costUs(edge, input));
    if (found === undefined || us > found.us) found = { what, input, us };
  }
  return found;
}

async function isRefused(edge: Edge, input: Uint8Array): Promise<boolean> {
  try {
    await edge.take(input);
    return false;
  } catch (error) {
    if (error instanceof Fault) return true;
    throw error;
  }
}

/** Microseconds of one call, over as many calls as the clock of the processor can tell apart. */
async function costUs(edge: Edge, input: Uint8Array): Promise<number> {
  const start = process.cpuUsage();
  for (let calls = 1; ; calls += 1) {
    await isRefused(edge, input);
    const { user, system } = process.cpuUsage(start);
    if (user + system >= BATCH_US_MIN || calls >= CALLS_MAX) return (user + system) / calls;
  }
}
