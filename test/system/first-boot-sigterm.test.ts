// SIGTERM at any step of the first boot: the programs end in order, and the next start goes on from
// there. [ID-6] [AUD-10]
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "tap";
import { isLongRun } from "../lab/runner/long-run.ts";
import { needs } from "../lab/runner/needs.ts";
import { approveOn, birthOf, keysAtHub, verifiedTrail } from "../lab/worlds/probes.ts";
import type { RunningProgram } from "../lab/runner/process.ts";
import { buildRig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";
/** Shares of the time that both programs need to be up. */
const MOMENTS = isLongRun() ? [0, 0.3, 0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.3, 1.6] : [0.3, 0.7, 0.9, 1, 1.3];
/** The steps of the first boot, by the agent's lines. */
const STEPS = [
  /started/u,
  /device SPG2/u,
  /life blank -> keyed/u,
  /life keyed -> requested/u,
  /enrolment waits/u,
  /life requested -> enrolled/u,
  /tunnel connected/u,
  /life enrolled -> connected/u,
];

test(
  "[ID-6] [AUD-10] SIGTERM at any step of the first boot ends agent and warden in order, and the next start goes on",
  { skip: needs("bundles") },
  async (t) => {
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    /** Before its first line ran, Node ends by the signal; afterwards the program handles it. */
    const stopsInOrder = async (program: RunningProgram, when: string): Promise<void> => {
      const silent = program.lines.length === 0;
      const end = await program.stop();
      const inOrder = end.code === 0 || (silent && end.signal === "SIGTERM");
      t.ok(inOrder, `${program.name} ${when}: ${JSON.stringify(end)} ${inOrder ? "" : program.lines.join("\n")}`);
    };

    const startedAtMs = performance.now();
    const both = [rig.launchWarden(), rig.launchAgent()] as const;
    await Promise.all([both[0].line(/listening/u), both[1].line(/started/u)]);
    const startMs = performance.now() - startedAtMs;
    await Promise.all(both.map((program) => stopsInOrder(program, "when it is up")));
    for (const moment of MOMENTS) {
      const programs = [rig.launchWarden(), rig.launchAgent()];
      await sleep(moment * startMs);
      await Promise.all(programs.map((program) => stopsInOrder(program, `at ${moment} of the start`)));
    }

    await rig.startWarden();
    for (const step of STEPS) {
      const agent = rig.launchAgent();
      await agent.line(step);
      await stopsInOrder(agent, `at ${step}`);
      if (step.test("enrolment waits")) await approveOn(rig, hub, ID);
    }

    const agent = await rig.startAgent();
    await agent.line(/life .* -> connected/u);
    const keys = await keysAtHub(rig, ID);
    t.same(keys, [(await birthOf(rig))?.keyFingerprint], "there was only one key");
    const trail = await verifiedTrail(rig, ID, ["enrolment.completed", "tunnel.connected"]);
    t.equal(trail.filter(({ event }) => event === "birth.recorded").length, 1);
    t.same(
      trail.filter(({ event }) => /^audit\.(?:recovered|tampered|dropped)$/u.test(event)),
      [],
      "nothing had to be repaired",
    );
    await stopsInOrder(agent, "when all is done");
  },
);
