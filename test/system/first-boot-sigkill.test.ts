// Agent, warden or both are killed at any step of the first boot up to the request: the next start
// goes on, with one identity and a trail without a gap. [ID-6] [AUD-10] [STA-1]
import { watch } from "node:fs";
import { test } from "tap";
import { isLongRun } from "../lab/runner/long-run.ts";
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
  [["warden"], { in: "birth", writes: "birth" }],
  [["agent"], { says: /life blank -> keyed/u }],
  [["agent"], { in: "agentState", writes: "request" }],
];

/** Part of the long run: first-boot-power-cut.test.ts kills both in the short one. */
const STRIKES_AT_BOTH: readonly (readonly [Victims, Moment])[] = [
  [BOTH, { in: "agentState", writes: "device-key" }],
  [BOTH, { in: "birth", writes: "birth" }],
  [BOTH, { says: /life keyed -> requested/u }],
];

test(
  "[ID-6] [AUD-10] [STA-1] SIGKILL between power-on and the request leaves one identity and a whole trail",
  { skip: SKIP },
  async (t) => {
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    const strikes = isLongRun() ? [...STRIKES, ...STRIKES_AT_BOTH] : STRIKES;
    for (const [at, [victims, moment]] of strikes.entries()) {
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
