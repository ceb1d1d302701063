// Another program steps the machine's clock under a live tunnel, and while messages wait.
import { type Test, test } from "tap";
import { type MachineClock, fakeMachineClock } from "../lab/counterparts/machine-clock.ts";
import { isLongRun } from "../lab/runner/long-run.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";
import { approveOn, untilStatus, verifiedTrail } from "../lab/worlds/probes.ts";
import { buildRig, type Rig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";
const DAY_MS = 86_400_000;
const SKIP = needs("bundles", "mounts", "faketime");

async function connectedRig(t: Test): Promise<{
  readonly rig: Rig;
  readonly clock: MachineClock;
  readonly hub: Awaited<ReturnType<Rig["startHub"]>>;
  readonly agent: Awaited<ReturnType<Rig["startAgent"]>>;
}> {
  const clock = await fakeMachineClock(Date.now());
  t.teardown(() => clock.remove());
  const rig = await buildRig({
    wardenConfig: { setClock: true },
    agentEnv: clock.env,
    wardenEnv: clock.env,
    wardenPrefix: clock.settable,
  });
  t.teardown(() => rig.stop());
  const hub = await rig.startHub();
  await rig.startWarden();
  const agent = await rig.startAgent();
  await approveOn(rig, hub, ID);
  await agent.line(/life .* -> connected/u);
  await untilStatus(rig, "hub time", (status) => status.clock?.state === "synced");
  return { rig, clock, hub, agent };
}

/** @returns the troubles that are left. */
async function untilMended(rig: Rig, clock: MachineClock): Promise<string> {
  await eventually("the clock is right", async () => Math.abs((await clock.nowMs()) - Date.now()) < 60_000 || undefined);
  const mended = await untilStatus(rig, "a synced clock", (status) => status.clock?.state === "synced");
  return mended.troubles.join("\n");
}

const STEPS: readonly (readonly [string, number])[] = [
  ["60 days back, below the floor", -60 * DAY_MS],
  ["40 days ahead", 40 * DAY_MS],
  ["5 years back", -5 * 365 * DAY_MS],
  ["5 years ahead", 5 * 365 * DAY_MS],
];

test(
  "[TUN-70] [TUN-73] a clock that is stepped under a live tunnel is put right; messages that waited through a step arrive",
  { skip: SKIP },
  async (t) => {
    const { rig, clock, hub, agent } = await connectedRig(t);
    for (const [what, stepMs] of isLongRun() ? STEPS : STEPS.slice(0, 1)) {
      await clock.step(stepMs);
      const stepped = await rig.status();
      t.notMatch(stepped.troubles.join("\n"), /first contact/u, what);
      t.notMatch(await untilMended(rig, clock), /time\.|the hub is asked/u, what);
    }

    await hub.stop();
    await agent.line(/life connected -> disconnected/u);
    await untilStatus(rig, "a message in the spool", ({ tunnel }) => tunnel.spool.messages > 0);
    await clock.step(40 * DAY_MS);
    await untilStatus(rig, "the step", (status) => status.clock?.state === "unverified");
    await rig.startHub();
    await agent.line(/life disconnected -> connected/u);
    const after = await untilStatus(rig, "an empty spool", ({ tunnel }) => tunnel.spool.messages === 0);
    t.equal(after.tunnel.spool.dropped, 0);
    await untilMended(rig, clock);
    const trail = await verifiedTrail(rig, ID, ["clock.stepped", "time.set", "time.set"]);
    t.notOk(trail.some(({ event }) => event === "spool.dropped"));
  },
);

test(
  "[TUN-73] messages of a device that never got hub time wait through a step of 40 days and back",
  { skip: SKIP },
  async (t) => {
    const clock = await fakeMachineClock(Date.now());
    t.teardown(() => clock.remove());
    // the warden forgets, with its end, that the hub had set its clock
    const rig = await buildRig({ agentEnv: clock.env, wardenEnv: clock.env });
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    const before = await rig.startWarden();
    const first = await rig.startAgent();
    await approveOn(rig, hub, ID);
    await first.line(/life .* -> connected/u);
    await first.stop();
    await before.stop();
    await rig.configure({ agentConfig: { enrolment: { connectTo: { host: "127.0.0.1", port: 9 } } } });
    await rig.startWarden();
    const agent = await rig.startAgent();
    await agent.line(/life .* -> connected/u);
    await hub.stop();
    await agent.line(/life connected -> disconnected/u);
    const waiting = await untilStatus(rig, "messages in the spool", ({ tunnel }) => tunnel.spool.messages >= 1);
    t.equal(waiting.clock?.state, "unverified");
    await clock.step(40 * DAY_MS);
    await rig.startHub();
    await clock.step(-40 * DAY_MS);
    await agent.line(/life disconnected -> connected/u);
    const after = await untilStatus(rig, "an empty spool", ({ tunnel }) => tunnel.spool.messages === 0);
    t.equal(after.tunnel.spool.dropped, 0);
  },
);
