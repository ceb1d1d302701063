// The cost of putting a policy in force, against nft with the same tables. [LCK-5]
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { assert } from "../../hal/fault.ts";
import { replacementOf } from "../../hal/linux/firewall/replacement.ts";
import { planLockdown } from "../../warden/lockdown/plan/index.ts";
import { lacksProbeNetwork } from "../lab/counterparts/network-probe.ts";
import { labPolicy, labSnapshot, policyBytes } from "../lab/worlds/lockdown.ts";
import type { Measure } from "./bench.ts";
import { inTurns, type RoundOutcome, startContender } from "./contender.ts";
import { type Finding, finding } from "./finding.ts";

/** Two different policies, so that each round replaces a table. */
const POLICIES = [{}, { network: { inbound: [], outbound: [{ protocol: "tcp", ports: [443], to: "any" }] } }] as const;

export const policy: Measure = {
  name: "policy",
  peers: [
    {
      name: "nft -f",
      does: "parses the same table and replaces the one before, in one transaction of the kernel",
      lacks: "no reading of the policy, no planning, no reading back of what is in force, no USB",
    },
  ],
  how: "a policy judged, planned, put in force and read back (one nft process: a transaction that replaces our table, and one that lists it), against nft -f of the same table, which reads nothing back; each in a network namespace of its own",
  async run(bench) {
    const missing = lacksProbeNetwork("user");
    assert(missing === false, `policies are tried in a namespace: it ${missing}`);
    // short rounds, so that both of a pair meet the same load of the machine
    const [rounds, count] = bench.quick ? [15, 4] : [80, 6];
    const snapshot = labSnapshot();
    const args: string[] = [];
    for (const [n, change] of POLICIES.entries()) {
      const [document, table] = [join(bench.directory, `policy-${n}.json`), join(bench.directory, `table-${n}.nft`)];
      await writeFile(document, policyBytes(change));
      await writeFile(table, replacementOf(planLockdown(labPolicy(change), snapshot).firewall));
      args.push(document, table);
    }
    const inside = ["unshare", "-rn"] as const;
    const ours = await startContender(bench, { program: "policy-apply", args, inside });
    const bare = await startContender(bench, { program: "bare-nft", args, inside });
    const outcomes = await inTurns([ours, bare], {
      rounds,
      roundsMax: bench.quick ? rounds : 4 * rounds,
      count,
      enough: (played) => applied(played, count).certain !== false,
      progress: bench.progress,
    });
    const [mine = [], theirs = []] = outcomes;
    const mend = await startContender(bench, { program: "policy-mend", args: args.slice(0, 1), inside });
    const [mends = [], applies = []] = await inTurns([mend, ours], { rounds: 8, count, progress: bench.progress });
    const kept = ({ rssBytes }: { readonly rssBytes: number }): number => rssBytes;
    return [
      applied(outcomes, count),
      finding({
        what: "  of which planning",
        unit: "us",
        ours: mine.flatMap(({ planMs }) => (planMs === undefined ? [] : [(planMs * 1000) / count])),
      }),
      finding({
        what: "put back after another program flushed everything",
        unit: "ms",
        ours: mends.flatMap(({ mendMs }) => (mendMs === undefined ? [] : [mendMs / count])),
        peer: { name: "one apply of ours", values: applies.map(({ ms }) => ms / count) },
        target: { of: "ratio", is: "at most", bound: 5 },
      }),
      finding({
        what: "RSS at the end",
        unit: "bytes",
        ours: mine.slice(-1).map(kept),
        peer: { name: "bare Node", values: theirs.slice(-1).map(kept) },
      }),
    ];
  },
};

function applied([mine = [], theirs = []]: readonly (readonly RoundOutcome[])[], count: number): Finding {
  const each = ({ ms }: RoundOutcome): number => ms / count;
  return finding({
    what: "plan, apply, read back",
    unit: "ms",
    ours: mine.map(each),
    peer: { name: "nft -f", values: theirs.map(each) },
    target: { of: "ratio", is: "at most", bound: 1.3 },
  });
}
