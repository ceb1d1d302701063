// The warden ends under a running agent: the tunnel stays, and the trail goes on where it was.
// [OPS-2] [AUD-9]
import { test } from "tap";
import { needs } from "../lab/runner/needs.ts";
import { approveOn, keysAtHub, untilStatus, verifiedTrail } from "../lab/worlds/probes.ts";
import { buildRig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";

test(
  "[OPS-2] [AUD-9] a warden that is killed costs no connection and no record of the agent",
  { skip: needs("bundles") },
  async (t) => {
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    // Without a repository no device is well.
    await rig.hub.command("release", "publish", rig.release.directory);
    const hub = await rig.startHub();
    const warden = await rig.startWarden();
    const agent = await rig.startAgent();
    const key = await approveOn(rig, hub, ID);
    await agent.line(/life .* -> connected/u);
    await verifiedTrail(rig, ID, ["tunnel.connected"]);

    t.same(await warden.stop("SIGKILL"), { code: null, signal: "SIGKILL" });
    const alone = await untilStatus(rig, "a status without warden", ({ audit }) => audit === undefined);
    t.match(alone, { life: "connected", tunnel: { state: "connected", connections: 1 } });
    t.match(alone.troubles.join("\n"), /protocol\.closed: the warden does not answer/u);

    // What happens meanwhile cannot be recorded yet.
    await hub.stop();
    await agent.line(/life connected -> disconnected/u);
    await agent.line(/tunnel: tunnel\.unreachable/u);
    await rig.startHub();
    await agent.line(/life disconnected -> connected/u);
    t.match(await rig.status(), { life: "connected" });

    await rig.startWarden();
    const trail = await verifiedTrail(rig, ID, ["tunnel.refused", "tunnel.connected", "tunnel.connected"]);
    t.same(
      trail.filter(({ event }) => event.startsWith("tunnel.")).map(({ event }) => event),
      ["tunnel.connected", "tunnel.disconnected", "tunnel.refused", "tunnel.connected"],
      "the agent's records arrived, in order",
    );
    t.equal(trail.filter(({ event }) => event === "warden.started").length, 2);
    t.match(
      await untilStatus(rig, "a well device", ({ troubles }) =>
        troubles.every((trouble) => trouble.startsWith("lockdown.not-enforced")),
      ),
      {
        life: "connected",
        tunnel: { connections: 2 },
      },
    );

    t.same(await keysAtHub(rig, ID), [key]);
  },
);
