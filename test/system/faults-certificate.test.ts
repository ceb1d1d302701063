// The end of the device certificate: renewed in time while connected, and expired while the device
// was off. [ID-9]
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { test } from "tap";
import { needs } from "../lab/runner/needs.ts";
import { approveOn, keysAtHub, untilStatus, verifiedTrail } from "../lab/worlds/probes.ts";
import { buildRig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";
/** A certificate is renewed after 80 % of its life: a busy machine has the other 8 s for that. */
const LIFE_S = 40;

test(
  "[ID-9] [ID-23] a certificate is renewed before its end; after one that ended while the device was off, the same key enrols again",
  { skip: needs("bundles") },
  async (t) => {
    const hubServer = fileURLToPath(new URL("../lab/runner/short-lived-hub.ts", import.meta.url));
    const rig = await buildRig({ hubServer, hubArgs: ["--life-seconds", `${LIFE_S}`] });
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    await rig.startWarden();
    const agent = await rig.startAgent();
    const key = await approveOn(rig, hub, ID);
    await agent.line(/life .* -> connected/u);
    const first = await untilStatus(rig, "a certificate", ({ certificate }) => certificate !== undefined);

    // While it is connected.
    const renewed = await untilStatus(
      rig,
      "another certificate",
      ({ certificate, life }) =>
        life === "connected" && certificate?.state === "fresh" && certificate.serial !== first.certificate?.serial,
    );
    t.ok(
      Date.parse(renewed.certificate?.notBefore ?? "") < Date.parse(first.certificate?.notAfter ?? ""),
      "the next one came before the first ended",
    );
    t.notMatch(agent.lines.join("\n"), /life .* -> keyed[^]*life .* -> keyed/u, "without enrolling again");

    // While it is off.
    t.same(await agent.stop(), { code: 0, signal: null });
    const left = Date.parse(renewed.certificate?.notAfter ?? "") - Date.now();
    await sleep(left + 1000);
    const again = await rig.startAgent();
    await again.line(/life keyed -> requested/u);
    await again.line(/life .* -> connected/u);

    const trail = await verifiedTrail(rig, ID, ["certificate.renewed", "enrolment.completed", "enrolment.completed"]);
    t.equal(trail.filter(({ event }) => event === "enrolment.completed").length, 2);
    t.equal(trail.filter(({ event }) => event === "key.created").length, 1);
    t.same(await keysAtHub(rig, ID), [key], "no second key, no second approval");
  },
);
