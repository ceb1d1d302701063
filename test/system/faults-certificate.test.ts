// The end of the device certificate: renewed in time while connected, and expired while the device
// was off. [ID-9]
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { test } from "tap";
import { needs } from "../lab/runner/needs.ts";
import { approveOn, keysAtHub, untilStatus, verifiedTrail } from "../lab/worlds/probes.ts";
import { buildRig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";
/** The second one has to end while the test waits. */
const LIFE_S = 60;
/**
 * How much earlier than in truth the first one is said to have been received, so that 80 % of its
 * life is past at once, and nearly all of it is left for the renewal on a busy machine.
 */
const EARLIER_MS = 5 * LIFE_S * 1000;

test(
  "[ID-9] [ID-23] a certificate is renewed before its end; after one that ended while the device was off, the same key enrols again",
  { skip: needs("bundles") },
  async (t) => {
    const hubServer = fileURLToPath(new URL("../lab/runner/short-lived-hub.ts", import.meta.url));
    const rig = await buildRig({ hubServer, hubArgs: ["--life-seconds", `${LIFE_S}`] });
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    await rig.startWarden();
    const enrolling = await rig.startAgent();
    const key = await approveOn(rig, hub, ID);
    await enrolling.line(/life .* -> connected/u);
    const first = await untilStatus(rig, "a certificate", ({ certificate }) => certificate !== undefined);
    await enrolling.stop();
    const receipts = join(rig.board.agentState, "certificate-receipts.json");
    const recorded = readFileSync(receipts, "utf8");
    const earlier = recorded.replace(/"receivedAt":(\d+)/u, (_, atMs: string) => `"receivedAt":${Number(atMs) - EARLIER_MS}`);
    t.not(earlier, recorded);
    writeFileSync(receipts, earlier);

    // While it is connected.
    const agent = await rig.startAgent();
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
    t.notMatch(agent.lines.join("\n"), /life .* -> requested/u, "without enrolling again");

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
