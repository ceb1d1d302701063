// The time from the start of the process to the tunnel.
import type { Measure } from "./bench.ts";
import { finding } from "./finding.ts";
import { BARE_ID, openGateway } from "./gateway.ts";

export const start: Measure = {
  name: "start",
  peers: [
    {
      name: "bare mqtt.js",
      does: "reads key, certificate and authority, and opens the same connection",
      lacks: "no configuration to check, no warden to ask, no spool to open, no time to fetch, no console",
    },
  ],
  how: "from spawning the agent's bundle (enrolled, file key, its warden up) to the hub's letting it in, against a bare script that opens the same MQTT connection by mqtt.connect; both judged by the hub's journal",
  async run(bench) {
    const rounds = bench.quick ? 7 : 15;
    const gateway = await openGateway(bench);
    await gateway.startWarden();
    const [ours, theirs]: [number[], number[]] = [[], []];
    for (let round = 0; round <= rounds; round += 1) {
      if (round % Math.ceil(rounds / 4) === 0) bench.progress(`round ${round} of ${rounds}`);
      const [mine, bare] = [await agentOnce(), await bareOnce()];
      // the first round of each only warms the page cache
      if (round > 0) {
        ours.push(mine);
        theirs.push(bare);
      }
    }
    return [
      finding({
        what: "start to tunnel",
        unit: "ms",
        ours,
        peer: { name: "bare mqtt.js", values: theirs },
        target: { of: "ratio", is: "at most", bound: 2 },
        whyMissed: "before it connects the agent asks the warden who it is, opens the spool, and asks the hub for the time",
      }),
    ];

    async function agentOnce(): Promise<number> {
      const letIn = gateway.letIn(gateway.agentId);
      const started = performance.now();
      const [agent, atMs] = await Promise.all([gateway.startAgent(), letIn]);
      await agent.stop();
      return atMs - started;
    }

    async function bareOnce(): Promise<number> {
      const letIn = gateway.letIn(BARE_ID);
      const started = performance.now();
      const bare = gateway.startBare();
      const atMs = await letIn;
      await bare.stop();
      return atMs - started;
    }
  },
};
