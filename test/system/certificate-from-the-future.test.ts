// The hub's clock was 60 days ahead when it issued the certificate, and is right again. [TUN-72]
import { test } from "tap";
import { fakeMachineClock } from "../lab/counterparts/machine-clock.ts";
import { isLongRun } from "../lab/runner/long-run.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";
import { approveOn, keysAtHub, untilStatus, verifiedTrail } from "../lab/worlds/probes.ts";
import { buildRig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";
const AHEAD_MS = 60 * 86_400_000;
const SKIP = needs("bundles", "mounts", "faketime");

interface Case {
  readonly what: string;
  /** The device is off while the hub's clock is put right. */
  readonly off: boolean;
  /** The device's clock is right before it asks the hub. */
  readonly right: boolean;
}

const CASES: readonly Case[] = [
  { what: "under a device that keeps trying", off: false, right: false },
  { what: "while the device was off, and comes back with the wrong clock", off: true, right: false },
  { what: "while the device was off, and comes back with a right clock", off: true, right: true },
];

for (const { what, off, right } of isLongRun() ? CASES : CASES.slice(0, 1))
  test(
    `[TUN-71] [TUN-72] [TUN-74] a hub whose clock was ahead is put right ${what}: time and certificate are replaced without anybody there; a revoked key is called revoked`,
    { skip: SKIP },
    async (t) => {
      const [hubClock, clock] = [await fakeMachineClock(Date.now() + AHEAD_MS), await fakeMachineClock(Date.now())];
      t.teardown(async () => Promise.all([hubClock.remove(), clock.remove()]));
      const rig = await buildRig({
        hubEnv: hubClock.env,
        wardenConfig: { setClock: true },
        agentEnv: clock.env,
        wardenEnv: clock.env,
        wardenPrefix: clock.settable,
      });
      t.teardown(() => rig.stop());
      const wrongHub = await rig.startHub();
      await rig.startWarden();
      let agent = await rig.startAgent();
      const key = await approveOn(rig, wrongHub, ID);
      await agent.line(/life .* -> connected/u);
      const before = await untilStatus(rig, "hub time", (status) => status.clock?.state === "synced");
      t.ok(Date.parse(before.certificate?.notBefore ?? "") > Date.now(), "the certificate is from the future");

      if (off) await agent.stop();
      await wrongHub.stop();
      await hubClock.step(-AHEAD_MS);
      if (right) await clock.step(-AHEAD_MS);
      const hub = await rig.startHub();
      if (off) agent = await rig.startAgent();
      const after = await untilStatus(
        rig,
        "a connection with another certificate",
        ({ life, certificate }) => life === "connected" && certificate?.serial !== before.certificate?.serial,
      );
      t.ok(Date.parse(after.certificate?.notBefore ?? "") <= Date.now());
      t.notMatch(after.troubles.join("\n"), /x509|tunnel|enrol|time\./u);
      await eventually("the clock is right", async () => Math.abs((await clock.nowMs()) - Date.now()) < 60_000 || undefined);
      const trail = await verifiedTrail(rig, ID, ["enrolment.completed", "enrolment.completed"]);
      t.equal(trail.filter(({ event }) => event === "key.created").length, 1);
      t.same(await keysAtHub(rig, ID), [key], "no second key, no second approval");

      await rig.hub.command("devices", "revoke", ID);
      await hub.line(/connection\.refused/u);
      const revoked = await untilStatus(rig, "the reason", ({ troubles }) =>
        troubles.some((one) => one.startsWith("enrol.revoked: ")),
      );
      t.match(revoked, { enrolment: { state: "denied" }, tunnel: { lastFault: { code: "tunnel.refused" } } });
      t.match(revoked.troubles.join("\n"), /enrol\.revoked: the hub has revoked this device's key/u);
    },
  );
