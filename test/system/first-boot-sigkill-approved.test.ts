// Agent, warden or both are killed between the approval and the witnessed trail: the next start
// goes on, with one identity and a trail that goes on. [ID-6] [AUD-10] [AUD-9]
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "tap";
import { needs } from "../lab/runner/needs.ts";
import type { RunningProgram } from "../lab/runner/process.ts";
import { approveOn, birthOf, keysAtHub, verifiedTrail } from "../lab/worlds/probes.ts";
import { buildRig } from "../lab/worlds/rig.ts";

type Victims = readonly ("agent" | "warden")[];
const BOTH: Victims = ["agent", "warden"];

/** The steps after the approval, by the agent's lines, and the milliseconds after them. */
const STRIKES: readonly (readonly [Victims, RegExp, number])[] = [
  [["agent"], /life keyed -> (?:requested|enrolled)/u, 0],
  [["warden"], /life .* -> enrolled/u, 0],
  [BOTH, /life .* -> enrolled/u, 15],
  [["agent"], /tunnel connected/u, 0],
  [["warden"], /life .* -> connected/u, 10],
  [BOTH, /life .* -> connected/u, 60],
];

test(
  "[ID-6] [AUD-10] [AUD-9] SIGKILL between approval and witnessed trail leaves one identity and a trail that goes on",
  { skip: needs("bundles") },
  async (t) => {
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    const id = "SPG2-0A1B2C3D";
    const hub = await rig.startHub();
    const programs: Record<"agent" | "warden", RunningProgram> = {
      warden: await rig.startWarden(),
      agent: await rig.startAgent(),
    };
    const key = await approveOn(rig, hub, id);
    for (const [victims, step, afterMs] of STRIKES) {
      await programs.agent.line(step);
      await sleep(afterMs);
      await Promise.all(victims.map((name) => programs[name].stop("SIGKILL")));
      if (victims.includes("warden")) programs.warden = await rig.startWarden();
      await programs.agent.stop("SIGKILL"); // Every round starts a new agent.
      programs.agent = await rig.startAgent();
    }
    await programs.agent.line(/life .* -> connected/u);
    // Entries that a killed agent had not passed on are not durable.
    const starts = 1 + STRIKES.filter(([victims]) => victims.includes("warden")).length;
    const trail = await verifiedTrail(rig, id, ["tunnel.connected", ...Array.from({ length: starts }, () => "warden.started")]);
    t.equal(trail.filter(({ event }) => event === "warden.started").length, starts, "each start of the warden is recorded once");
    t.notOk(trail.some(({ event }) => event === "audit.tampered"));
    t.same(await keysAtHub(rig, id), [key]);
    t.equal((await birthOf(rig))?.keyFingerprint, key);
  },
);
