// First power-on on a network where an attacker answers in the hub's place. [ID-7] [TUN-2]
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { openSwitchableProxy } from "../lab/counterparts/switchable-proxy.ts";
import { serveHttps } from "../lab/counterparts/est-server.ts";
import { needs } from "../lab/runner/needs.ts";
import { approveOn, keysAtHub, untilStatus, verifiedTrail } from "../lab/worlds/probes.ts";
import { issue } from "../lab/counterparts/pki.ts";
import { buildRig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";

test(
  "[ID-7] [TUN-2] impostors get no request and no tunnel, and then the real hub is found with the same key",
  { skip: needs("bundles", "openssl") },
  async (t) => {
    const [rig, attacker] = [await buildRig(), await buildRig()];
    t.teardown(async () => Promise.all([rig.stop(), attacker.stop()]));
    const [est, mqtt] = [await openSwitchableProxy(), await openSwitchableProxy()];
    t.teardown(async () => Promise.all([est.close(), mqtt.close()]));
    const [hub] = [await rig.startHub(), await attacker.startHub()];
    const there = (port: number) => ({ connectTo: { host: "127.0.0.1", port } });
    await rig.configure({ agentConfig: { enrolment: there(est.port), tunnel: there(mqtt.port) } });

    // A server that the right authority certified for another name.
    const [certFile, keyFile] = [join(rig.hub.state, "authority.pem"), join(rig.hub.state, "authority.key")];
    const authority = { certFile, keyFile, cert: await readFile(certFile, "utf8"), key: "" };
    const elsewhere = issue(rig.directory, "elsewhere", authority, {
      commonName: "elsewhere.test",
      names: ["DNS:elsewhere.test"],
    });
    const neighbour = await serveHttps(elsewhere, authority, (_asked, response) => response.writeHead(500).end());
    t.teardown(() => neighbour.close());

    await rig.startWarden();
    est.point(neighbour.port);
    const first = await rig.startAgent();
    const named = await untilStatus(rig, "the fault in the status", ({ enrolment }) => enrolment?.lastFault !== undefined);
    t.match(named, { life: "requested", enrolment: { state: "retrying", lastFault: { code: "tls.hub-name" } } });
    t.same(neighbour.asked, [], "not one request reached the server of another name");
    const key = named.key?.fingerprint ?? "";
    const files = async () => ({
      key: await readFile(join(rig.board.agentState, "device-key.pem"), "utf8"),
      request: await readFile(join(rig.board.agentState, "request.der"), "latin1"),
      birth: await readFile(join(rig.board.birth, "birth.json"), "utf8"),
    });
    const before = await files();
    await first.stop();

    // A whole second hub of the same name, under its own authority.
    est.point(attacker.hub.ports.est);
    mqtt.point(attacker.hub.ports.mqtt);
    const second = await rig.startAgent();
    const untrusted = await untilStatus(rig, "the fault in the status", ({ enrolment }) => enrolment?.lastFault !== undefined);
    t.match(untrusted, { life: "requested", enrolment: { state: "retrying", lastFault: { code: "tls.hub-untrusted" } } });
    t.match(rig.command("status").stdout, /tls\.hub-untrusted/u, "the command line shows the reason");
    t.same(await keysAtHub(attacker, ID), [], "the attacker's hub never saw a request");
    t.same(await files(), before, "key, request and birth record are unchanged");
    await second.stop();

    est.point(rig.hub.ports.est);
    mqtt.point(rig.hub.ports.mqtt);
    const third = await rig.startAgent();
    t.equal(await approveOn(rig, hub, ID), key, "the same key");
    await third.line(/life .* -> connected/u);

    // The attacker takes the tunnel's place later.
    mqtt.point(attacker.hub.ports.mqtt);
    await third.line(/tunnel: tls\.hub-untrusted/u);
    mqtt.point(rig.hub.ports.mqtt);
    await third.line(/life disconnected -> connected/u);

    const trail = await verifiedTrail(rig, ID, [
      "hub.untrusted",
      "hub.untrusted",
      "hub.untrusted",
      "tunnel.connected",
      "tunnel.connected",
    ]);
    const codes = trail.filter(({ event }) => event === "hub.untrusted").map(({ detail }) => detail?.["code"]);
    // The question for the time and the enrolment meet it at about the same moment, and each
    // reports it once; then the tunnel does.
    t.same([...new Set(codes)], ["tls.hub-name", "tls.hub-untrusted"], "each impostor is in the trail");
    t.ok(codes.length >= 3, "and the one at the tunnel's place too");
    t.same(await keysAtHub(rig, ID), [key]);
  },
);
