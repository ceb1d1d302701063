// First power-on with a clock that is decades wrong: only the hub's time sets it. [ID-10] [ID-11]
import { test } from "tap";
import { openSwitchableProxy } from "../lab/counterparts/switchable-proxy.ts";
import { fakeMachineClock } from "../lab/counterparts/machine-clock.ts";
import { needs } from "../lab/runner/needs.ts";
import { approveOn, keysAtHub, untilStatus, verifiedTrail } from "../lab/worlds/probes.ts";
import { buildRig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";
const SKIP = needs("bundles", "mounts", "faketime");

for (const startAt of ["1970-01-01T00:03:00.000Z", "2099-06-01T12:00:00.000Z"])
  test(
    `[ID-10] [ID-11] a clock at ${startAt} is set from the hub's signed time, not by an impostor, and the first boot goes on`,
    { skip: SKIP },
    async (t) => {
      const clock = await fakeMachineClock(Date.parse(startAt));
      t.teardown(() => clock.remove());
      const est = await openSwitchableProxy();
      t.teardown(() => est.close());
      const attacker = await buildRig();
      const rig = await buildRig({
        agentConfig: { enrolment: { connectTo: { host: "127.0.0.1", port: est.port } } },
        wardenConfig: { setClock: true },
        agentEnv: clock.env,
        wardenEnv: clock.env,
        wardenPrefix: clock.settable,
      });
      t.teardown(async () => Promise.all([rig.stop(), attacker.stop()]));
      const [hub] = [await rig.startHub(), await attacker.startHub()];
      const isOff = async (): Promise<boolean> => Math.abs((await clock.nowMs()) - Date.now()) > 86_400_000;

      // By its dates alone the impostor's certificate looks like the hub's own.
      est.point(attacker.hub.ports.est);
      await rig.startWarden();
      const first = await rig.startAgent();
      const fooled = await untilStatus(rig, "the fault in the status", ({ enrolment }) => enrolment?.lastFault !== undefined);
      t.match(fooled, { life: "requested", clock: { state: "unset" }, at: new RegExp(`^${startAt.slice(0, 10)}`, "u") });
      t.match(fooled.troubles.join("\n"), /tls\.hub-untrusted: .*not signed by the pinned authority/u);
      t.ok(await isOff(), "the clock is unchanged");
      t.same(await keysAtHub(attacker, ID), [], "the impostor saw no request");
      await first.stop();

      est.point(rig.hub.ports.est);
      const second = await rig.startAgent();
      const key = await approveOn(rig, hub, ID);
      t.notOk(await isOff(), "the machine's clock was set");
      await second.line(/life .* -> connected/u);
      t.match(await rig.status(), {
        clock: { state: "synced" },
        troubles: [],
        at: new RegExp(`^${new Date().getUTCFullYear()}`, "u"),
      });

      const trail = await verifiedTrail(rig, ID, ["hub.untrusted", "time.set", "tunnel.connected"]);
      t.same(
        trail
          .filter(({ event }) => ["time.set", "hub.untrusted", "enrolment.completed"].includes(event))
          .map(({ event }) => event),
        ["hub.untrusted", "time.set", "enrolment.completed"],
      );
      t.match(trail.find(({ event }) => event === "time.set")?.detail, { from: new RegExp(`^${startAt.slice(0, 10)}`, "u") });
      t.same(await keysAtHub(rig, ID), [key]);
    },
  );
