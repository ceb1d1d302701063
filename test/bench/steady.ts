// Memory of an idle gateway.
import { setTimeout as sleep } from "node:timers/promises";
import type { Bench, Measure } from "./bench.ts";
import { finding } from "./finding.ts";
import { BARE_ID, type Gateway, openGateway } from "./gateway.ts";
import { type Memory, memoryOf } from "./memory.ts";

export interface AtRest {
  readonly agent: Memory;
  readonly warden: Memory;
  readonly bare: Memory;
}

export const steady: Measure = {
  name: "steady",
  peers: [
    {
      name: "bare mqtt.js",
      does: "holds the same MQTT session at the same hub, from a Node of its own",
      lacks: "no console, no spool, no updates, no identity, no second program: it only keeps a connection",
    },
  ],
  how: "memory after 60 s (15 s with --quick) of an open connection: agent (console open, file key) and warden, against a bare script holding the same session by mqtt.connect; each side from a Node binary of its own, so that pages count as shared where a device would share them",
  async run(bench) {
    const gateway = await openGateway(bench);
    const rounds: AtRest[] = [];
    for (let round = 0; round < (bench.quick ? 1 : 3); round += 1) rounds.push(await rest(bench, gateway, round + 1));
    const peer = (pick: (memory: Memory) => number) => ({ name: "bare mqtt.js", values: rounds.map(({ bare }) => pick(bare)) });
    const rss = (memory: Memory): number => memory.rssBytes;
    const pss = (memory: Memory): number => memory.pssBytes;
    const dirty = (memory: Memory): number => memory.privateDirtyBytes;
    const alone = { of: "ratio", is: "at most", bound: 0.85 } as const;
    const both = { of: "ratio", is: "at most", bound: 1.2 } as const;
    return [
      finding({
        what: "agent, RSS",
        unit: "bytes",
        ours: rounds.map(({ agent }) => rss(agent)),
        peer: peer(rss),
        target: alone,
      }),
      finding({ what: "agent, PSS", unit: "bytes", ours: rounds.map(({ agent }) => pss(agent)), peer: peer(pss) }),
      finding({
        what: "agent, private dirty",
        unit: "bytes",
        ours: rounds.map(({ agent }) => dirty(agent)),
        peer: peer(dirty),
        target: alone,
      }),
      finding({ what: "warden, RSS", unit: "bytes", ours: rounds.map(({ warden }) => rss(warden)), peer: peer(rss) }),
      finding({ what: "warden, PSS", unit: "bytes", ours: rounds.map(({ warden }) => pss(warden)), peer: peer(pss) }),
      finding({
        what: "warden, private dirty",
        unit: "bytes",
        ours: rounds.map(({ warden }) => dirty(warden)),
        peer: peer(dirty),
      }),
      finding({
        what: "agent + warden, PSS",
        unit: "bytes",
        ours: rounds.map(({ agent, warden }) => pss(agent) + pss(warden)),
        peer: peer(pss),
        target: both,
      }),
    ];
  },
};

/** Starts all three, waits until they are connected and idle, and reads their memory. */
export async function rest(bench: Bench, gateway: Gateway, round: number): Promise<AtRest> {
  const seconds = bench.quick ? 15 : 60;
  const warden = await gateway.startWarden();
  const begun = [gateway.letIn(gateway.agentId), gateway.letIn(BARE_ID), gateway.consoleSpeaks()];
  const agent = await gateway.startAgent();
  const bare = gateway.startBare();
  await Promise.all(begun);
  bench.progress(`round ${round}: agent and bare script are connected, ${seconds} s of rest`);
  await sleep(seconds * 1000);
  const found = { agent: await memoryOf(agent.pid), warden: await memoryOf(warden.pid), bare: await memoryOf(bare.pid) };
  for (const program of [bare, agent, warden]) await program.stop();
  return found;
}
