// What options of Node cost and save, program by program: the table behind
// docs/decisions/0016-memory-and-jit.md.
import { startOf, type UnitStart } from "../lab/runner/units.ts";
import { encodeMessage } from "../../agent/tunnel/messages.ts";
import type { Bench, Measure } from "./bench.ts";
import { startBroker } from "./broker.ts";
import { inTurns, startContender } from "./contender.ts";
import { type Finding, finding } from "./finding.ts";
import { openGateway } from "./gateway.ts";
import { type AtRest, rest } from "./steady.ts";

const env = { MALLOC_ARENA_MAX: "1" };
const heap = "--max-old-space-size=64";

/** Agent and warden. The first is what the units say. */
const VARIANTS: Readonly<Record<string, { readonly agent: UnitStart; readonly warden: UnitStart }>> = {
  "as shipped": { agent: startOf("sallyport-agent.service"), warden: startOf("sallyport-warden.service") },
  "Node's defaults": { agent: { options: [], env: {} }, warden: { options: [], env: {} } },
  "all tiers": {
    agent: { options: ["--max-semi-space-size=4", heap], env },
    warden: { options: ["--max-semi-space-size=1", heap], env },
  },
  "no TurboFan": {
    agent: { options: ["--max-opt=2", "--max-semi-space-size=4", heap], env },
    warden: { options: ["--max-opt=2", "--max-semi-space-size=1", heap], env },
  },
  "baseline only": {
    agent: { options: ["--max-opt=1", "--max-semi-space-size=4", heap], env },
    warden: { options: ["--max-opt=1", "--max-semi-space-size=1", heap], env },
  },
  "no JIT": {
    agent: { options: ["--jitless", "--max-semi-space-size=4", heap], env },
    warden: { options: ["--jitless", "--max-semi-space-size=1", heap], env },
  },
};

const FILLING_BYTES = 128;
const WINDOW = 32;

export const options: Measure = {
  name: "options",
  how: "agent and warden at rest, and the agent's processor time for a spooled message, with other options of Node",
  peers: [
    {
      name: "bare mqtt.js",
      does: "holds the same session, or sends as many messages, with Node's default options",
      lacks: "no console, no spool, no second program",
    },
  ],
  async run(bench) {
    const findings: Finding[] = [];
    for (const [name, starts] of Object.entries(VARIANTS)) {
      bench.progress(name);
      const rounds: AtRest[] = [];
      const gateway = await openGateway(bench, starts);
      for (let round = 0; round < (bench.quick ? 1 : 3); round += 1)
        rounds.push(await rest({ ...bench, quick: true }, gateway, round + 1));
      findings.push(...memoryOf(name, rounds), await messageCost(bench, name, starts.agent));
    }
    return findings;
  },
};

function memoryOf(name: string, rounds: readonly AtRest[]): readonly Finding[] {
  const peer = (pick: "rssBytes" | "pssBytes") => ({ name: "bare mqtt.js", values: rounds.map(({ bare }) => bare[pick]) });
  return [
    finding({
      what: `${name}: agent, RSS`,
      unit: "bytes",
      ours: rounds.map(({ agent }) => agent.rssBytes),
      peer: peer("rssBytes"),
    }),
    finding({
      what: `${name}: warden, RSS`,
      unit: "bytes",
      ours: rounds.map(({ warden }) => warden.rssBytes),
      peer: peer("rssBytes"),
    }),
    finding({
      what: `${name}: agent + warden, PSS`,
      unit: "bytes",
      ours: rounds.map(({ agent, warden }) => agent.pssBytes + warden.pssBytes),
      peer: peer("pssBytes"),
    }),
  ];
}

async function messageCost(bench: Bench, name: string, start: UnitStart): Promise<Finding> {
  const [rounds, count] = bench.quick ? [5, 2000] : [10, 5000];
  const { session } = await startBroker(bench, WINDOW);
  const { byteLength } = encodeMessage({ kind: "bench.event", text: "x".repeat(FILLING_BYTES) }, Date.now());
  const id = name.toLowerCase().replaceAll(/[^a-z]/gu, "-");
  const ours = await startContender(bench, {
    program: "tunnel-messages",
    args: [...session(id), "publish", `${WINDOW}`, `${FILLING_BYTES}`, `${bench.directory}/${id}`],
    start,
  });
  const bare = await startContender(bench, {
    program: "bare-messages",
    args: [...session(`bare-${id}`), `${WINDOW}`, `${byteLength}`],
  });
  const [mine = [], theirs = []] = await inTurns([ours, bare], { rounds, count, progress: bench.progress });
  await ours.end();
  await bare.end();
  const each = ({ cpuMs = 0 }: { readonly cpuMs?: number | undefined }): number => (cpuMs * 1000) / count;
  return finding({
    what: `${name}: processor time of a spooled message`,
    unit: "us",
    ours: mine.map(each),
    peer: { name: "bare mqtt.js", values: theirs.map(each) },
  });
}
