// First power-on without a hub: the device reports why it waits, and enrols when the hub comes.
// [ID-7] [AUD-9]
import { test } from "tap";
import { needs } from "../lab/runner/needs.ts";
import { approveOn, keysAtHub, untilStatus, verifiedTrail } from "../lab/worlds/probes.ts";
import { buildRig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";

test("[ID-7] [AUD-9] a hub that is down at the first boot and later costs only time", { skip: needs("bundles") }, async (t) => {
  const rig = await buildRig();
  t.teardown(() => rig.stop());
  await (await rig.startHub()).stop(); // Its ports are known now, and nothing listens there.

  await rig.startWarden();
  const agent = await rig.startAgent();
  const waiting = await untilStatus(rig, "the fault in the status", ({ enrolment }) => enrolment?.lastFault !== undefined);
  t.match(waiting, { life: "requested", enrolment: { state: "retrying", lastFault: { code: "enrol.unreachable" } } });
  t.match(
    rig.command("status").stdout,
    /enrol\.unreachable: connect to the hub at 127\.0\.0\.1/u,
    "the command line shows the reason",
  );
  const key = waiting.key?.fingerprint ?? "";
  t.match(key, /^sha256:/u, "the key is made without a hub");

  // A reboot while it waits: the same key, the same request.
  t.same(await agent.stop(), { code: 0, signal: null });
  const again = await rig.startAgent();
  await again.line(/life keyed -> requested/u);

  const hub = await rig.startHub();
  t.equal(await approveOn(rig, hub, ID), key);
  await again.line(/life .* -> connected/u);

  // Down while connected: records wait in the warden's log.
  t.same(await hub.stop(), { code: 0, signal: null });
  await again.line(/life connected -> disconnected/u);
  await again.line(/tunnel: tunnel\.unreachable/u);
  t.match((await rig.status()).tunnel.lastFault, { code: "tunnel.unreachable" });
  await rig.startHub();
  await again.line(/life disconnected -> connected/u);

  const trail = await verifiedTrail(rig, ID, ["tunnel.connected", "tunnel.disconnected", "tunnel.connected"]);
  t.same(
    trail.filter(({ event }) => /^(?:key|birth|enrolment|tunnel)\./u.test(event)).map(({ event }) => event),
    [
      "key.created",
      "birth.recorded",
      "enrolment.requested",
      "enrolment.failed", // unreachable
      "enrolment.requested", // by the second start
      "enrolment.failed",
      "enrolment.failed", // pending
      "enrolment.completed",
      "tunnel.connected",
      "tunnel.disconnected",
      "tunnel.refused",
      "tunnel.connected",
    ],
    "what happened without the hub is in its trail now",
  );
  t.same(await keysAtHub(rig, ID), [key], "one identity");
});
