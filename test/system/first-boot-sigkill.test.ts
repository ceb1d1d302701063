// Agent, warden or both are killed at any step of the first boot: the next start goes on, with one
// identity and a trail without a gap. [ID-6] [AUD-10] [STA-1]
import { watch } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "tap";
import { needs } from "../lab/runner/needs.ts";
import { approveOn, birthOf, keysAtHub, verifiedTrail } from "../lab/worlds/probes.ts";
import type { RunningProgram } from "../lab/runner/process.ts";
import { buildRig } from "../lab/worlds/rig.ts";

const SKIP = needs("bundles");

type Programs = Record<"agent" | "warden", RunningProgram>;
type Victims = readonly (keyof Programs)[];
const BOTH: Victims = ["agent", "warden"];

/**
 * When to kill: at a line of the agent's, or as soon as a file begins to be written, which is
 * before it is complete.
 */
type Moment = { readonly says: RegExp } | { readonly writes: string; readonly in: "agentState" | "wardenState" | "birth" };

const STRIKES: readonly (readonly [Victims, Moment])[] = [
  [["warden"], { in: "wardenState", writes: "audit-key" }],
  [["agent"], { in: "agentState", writes: "device-key" }],
  [BOTH, { in: "agentState", writes: "device-key" }],
  [["warden"], { in: "birth", writes: "birth" }],
  [BOTH, { in: "birth", writes: "birth" }],
  [["agent"], { says: /life blank -> keyed/u }],
  [["agent"], { in: "agentState", writes: "request" }],
  [BOTH, { says: /life keyed -> requested/u }],
];

test(
  "[ID-6] [AUD-10] [STA-1] SIGKILL between power-on and the request leaves one identity and a whole trail",
  { skip: SKIP },
  async (t) => {
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    for (const [at, [victims, moment]] of STRIKES.entries()) {
      const id = `SPG2-${String(at).padStart(8, "0")}`;
      await rig.replaceBoard(id);
      const written = "writes" in moment ? whenWritten(rig.board[moment.in], moment.writes) : undefined;
      const programs = { warden: rig.launchWarden(), agent: rig.launchAgent() };
      await (written ?? ("says" in moment && programs.agent.line(moment.says)));
      await Promise.all(victims.map((name) => programs[name].stop("SIGKILL")));
      await comeBack(programs, victims);

      const key = await approveOn(rig, hub, id);
      await programs.agent.line(/life .* -> connected/u);
      const trail = await verifiedTrail(rig, id, ["birth.recorded", "enrolment.completed", "tunnel.connected"]);
      t.same(await keysAtHub(rig, id), [key], `${victims.join(" and ")} killed at ${JSON.stringify(moment, asText)}`);
      t.equal((await birthOf(rig))?.keyFingerprint, key);
      t.notOk(
        trail.some(({ event }) => event === "audit.tampered"),
        "the traces of a kill are not taken for tampering",
      );
      await programs.agent.stop(); // The agent first: it has a last entry for the warden.
      await programs.warden.stop();
    }

    async function comeBack(programs: Programs, victims: Victims): Promise<void> {
      if (victims.includes("warden")) programs.warden = await rig.startWarden();
      if (victims.includes("agent")) programs.agent = await rig.startAgent();
    }
  },
);

function whenWritten(directory: string, name: string): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(directory, (_event, file) => {
      if (file?.includes(name) !== true) return;
      watcher.close();
      resolve();
    });
  });
}

function asText(_name: string, value: unknown): unknown {
  return value instanceof RegExp ? value.source : value;
}

/** The steps after the approval, by the agent's lines, and the milliseconds after them. */
const LATER_STRIKES: readonly (readonly [Victims, RegExp, number])[] = [
  [["agent"], /life keyed -> (?:requested|enrolled)/u, 0],
  [["warden"], /life .* -> enrolled/u, 0],
  [BOTH, /life .* -> enrolled/u, 15],
  [["agent"], /tunnel connected/u, 0],
  [["warden"], /life .* -> connected/u, 10],
  [BOTH, /life .* -> connected/u, 60],
];

test(
  "[ID-6] [AUD-10] [AUD-9] SIGKILL between approval and witnessed trail leaves one identity and a trail that goes on",
  { skip: SKIP },
  async (t) => {
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    const id = "SPG2-0A1B2C3D";
    const hub = await rig.startHub();
    const programs = { warden: await rig.startWarden(), agent: await rig.startAgent() };
    const key = await approveOn(rig, hub, id);
    for (const [victims, step, afterMs] of LATER_STRIKES) {
      await programs.agent.line(step);
      await sleep(afterMs);
      await Promise.all(victims.map((name) => programs[name].stop("SIGKILL")));
      if (victims.includes("warden")) programs.warden = await rig.startWarden();
      await programs.agent.stop("SIGKILL"); // Every round starts a new agent.
      programs.agent = await rig.startAgent();
    }
    await programs.agent.line(/life .* -> connected/u);
    // Entries that a killed agent had not passed on are not durable.
    const trail = await verifiedTrail(rig, id, ["tunnel.connected"]);
    t.ok(trail.filter(({ event }) => event === "warden.started").length >= 5);
    t.notOk(trail.some(({ event }) => event === "audit.tampered"));
    t.same(await keysAtHub(rig, id), [key]);
    t.equal((await birthOf(rig))?.keyFingerprint, key);
  },
);
