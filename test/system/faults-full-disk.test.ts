// The disks fill up while the device is connected: it goes on, reports it, and is well again when
// there is room. [AUD-11] [TUN-6]
import { test } from "tap";
import { needs } from "../lab/runner/needs.ts";
import { approveOn, keysAtHub, untilStatus, verifiedTrail } from "../lab/worlds/probes.ts";
import { buildRig } from "../lab/worlds/rig.ts";
import { mountSmallDisk } from "../lab/counterparts/small-disk.ts";

const ID = "SPG2-0A1B2C3D";

test(
  "[AUD-25] [TUN-20] full disks under spool and audit log stop neither tunnel nor status, and what was dropped is counted",
  { skip: needs("bundles", "mounts") },
  async (t) => {
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    const disks = [mountSmallDisk(rig.board.agentState, 64), mountSmallDisk(rig.board.wardenState, 256)];
    t.teardown(() => disks.forEach((disk) => disk.unmount()));
    const hub = await rig.startHub();
    const warden = await rig.startWarden();
    const agent = await rig.startAgent();
    const key = await approveOn(rig, hub, ID);
    await agent.line(/life .* -> connected/u);
    await verifiedTrail(rig, ID, ["tunnel.connected"]);

    for (const disk of disks) disk.fill(0);
    // Every request for the status adds a record, until the started page is full.
    const full = await untilStatus(rig, "dropped records", ({ audit }) => (audit?.dropped ?? 0) > 0);
    t.match(full, { life: "connected", tunnel: { state: "connected" } });
    t.match(full.troubles.join("\n"), /audit\.full: \d+ audit records were dropped/u);

    // A new connection meets the full spool as well.
    await hub.stop();
    await agent.line(/life connected -> disconnected/u);
    await rig.startHub();
    await agent.line(/life disconnected -> connected/u);
    const again = await rig.status();
    t.equal(again.life, "connected");

    for (const disk of disks) disk.empty();
    await untilStatus(rig, "records again", ({ audit }) => (audit?.size ?? 0) > (again.audit?.size ?? 0));
    const trail = await verifiedTrail(rig, ID, ["audit.dropped"]);
    t.ok(
      trail.some(({ event, detail }) => event === "audit.dropped" && Number(detail?.["count"] ?? detail?.["dropped"]) > 0),
      "counted in the trail",
    );
    t.notOk(agent.lines.some((line) => /assert|unhandled/iu.test(line)));
    t.notOk(warden.lines.some((line) => /assert|unhandled/iu.test(line)));

    t.same(await agent.stop(), { code: 0, signal: null });
    t.same(await warden.stop(), { code: 0, signal: null });
    await rig.startWarden();
    const next = await rig.startAgent();
    await next.line(/life .* -> connected/u);
    const well = await untilStatus(rig, "a status", () => true);
    t.notMatch(well.troubles.join("\n"), /no-space|tampered/u);
    await verifiedTrail(rig, ID, ["warden.stopped"]);
    t.same(await keysAtHub(rig, ID), [key]);
  },
);
