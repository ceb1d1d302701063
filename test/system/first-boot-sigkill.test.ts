// Killed at any step of the first boot, agent or warden or both: the next start goes on, with one identity and a trail without a gap. [ID-6] [AUD-10] [STA-1]
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "tap";
import { needs } from "../lab/needs.ts";
import { approveOn, birthOf, keysAtHub, verifiedTrail } from "../lab/observe.ts";
import type { RunningProgram } from "../lab/process.ts";
import { buildRig } from "../lab/rig.ts";

const SKIP = needs("bundles");

type Victims = readonly ("agent" | "warden")[];
const WAYS: readonly Victims[] = [["agent"], ["warden"], ["agent", "warden"]];

/** Of the time from power-on to the request; what is written is written late in it. */
const MOMENTS = [0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1, 1.1];

test(
  "[ID-6] [AUD-10] [STA-1] SIGKILL between power-on and the request leaves one identity and a whole trail",
  { skip: SKIP },
  async (t) => {
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    const startedAtMs = performance.now();
    const untouched = [rig.launchWarden(), rig.launchAgent()] as const;
    await untouched[1].line(/enrolment waits/u);
    const bootMs = performance.now() - startedAtMs;
    for (const program of untouched) await program.stop();

    for (const [at, moment] of MOMENTS.entries()) {
      const victims = WAYS[at % WAYS.length] ?? [];
      const id = `SPG2-${String(at).padStart(8, "0")}`;
      await rig.replaceBoard(id);
      const programs = { warden: rig.launchWarden(), agent: rig.launchAgent() };
      await sleep(moment * bootMs);
      await Promise.all(victims.map((name) => programs[name].stop("SIGKILL")));
      const told = programs.agent.lines.at(-1) ?? "nothing";
      const agent = await comeBack(programs, victims);

      const key = await approveOn(rig, hub, id);
      await agent.line(/life .* -> connected/u);
      const what = `${victims.join(" and ")} killed at ${moment} of the boot, when the agent had said "${told.slice(0, 80)}"`;
      const trail = await verifiedTrail(rig, id, ["birth.recorded", "enrolment.completed", "tunnel.connected"]);
      t.same(await keysAtHub(rig, id), [key], what);
      t.equal((await birthOf(rig))?.keyFingerprint, key);
      t.equal(trail.filter(({ event }) => event === "birth.recorded").length, 1);
      t.notOk(
        trail.some(({ event }) => event === "audit.tampered"),
        "what a kill leaves is no tampering",
      );
      for (const program of [agent, programs.warden]) await program.stop();
    }

    async function comeBack(programs: Record<"agent" | "warden", RunningProgram>, victims: Victims): Promise<RunningProgram> {
      if (victims.includes("warden")) programs.warden = await rig.startWarden();
      if (victims.includes("agent")) programs.agent = await rig.startAgent();
      return programs.agent;
    }
  },
);

/** The steps behind the approval, as the agent tells of them, and how long after. */
const LATER_STEPS = [
  [/life keyed -> (?:requested|enrolled)/u, 0],
  [/life .* -> enrolled/u, 0],
  [/life .* -> enrolled/u, 15],
  [/tunnel connected/u, 0],
  [/life .* -> connected/u, 10],
  [/life .* -> connected/u, 60],
] as const;

test(
  "[ID-6] [AUD-10] [AUD-9] SIGKILL between approval and witnessed trail loses no record that was durable",
  { skip: SKIP },
  async (t) => {
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    const id = "SPG2-0A1B2C3D";
    const hub = await rig.startHub();
    const programs = { warden: await rig.startWarden(), agent: await rig.startAgent() };
    const key = await approveOn(rig, hub, id);
    for (const [at, [step, afterMs]] of LATER_STEPS.entries()) {
      await programs.agent.line(step);
      await sleep(afterMs);
      const victims = WAYS[at % WAYS.length] ?? [];
      await Promise.all(victims.map((name) => programs[name].stop("SIGKILL")));
      if (victims.includes("warden")) programs.warden = await rig.startWarden();
      else programs.agent = await rig.startAgent();
      if (victims.length === 2) programs.agent = await rig.startAgent();
      else if (victims.includes("warden")) {
        await programs.agent.stop("SIGKILL"); // so that every round begins anew
        programs.agent = await rig.startAgent();
      }
    }
    await programs.agent.line(/life .* -> connected/u);
    const trail = await verifiedTrail(rig, id, ["tunnel.connected"]); // what an agent that is killed had not handed over yet is not durable
    t.ok(trail.filter(({ event }) => event === "warden.started").length >= 5);
    t.notOk(trail.some(({ event }) => event === "audit.tampered"));
    t.same(await keysAtHub(rig, id), [key]);
    t.equal((await birthOf(rig))?.keyFingerprint, key);
  },
);
