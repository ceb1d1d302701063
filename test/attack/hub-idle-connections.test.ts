// A stranger opens connections and says nothing. It loses its own oldest ones; every device that
// asks meanwhile is served, and a whole site behind one address reconnects.
import { generateKeyPairSync } from "node:crypto";
import { test } from "tap";
import { MQTT_UNPROVEN_MAX, UNPROVEN_PER_SOURCE_MAX } from "../../hub/limits.ts";
import { loadAuthority } from "../../hub/authority/index.ts";
import { readRequest } from "../../hub/devices/index.ts";
import { ask, connect, enrolled, labDevice, type LabDevice, labHub, labMessage, simpleEnrol, toPem } from "../lab/worlds/hub.ts";
import { eventually } from "../lab/runner/process.ts";
import { answered, idleConnections } from "../lab/worlds/hub-crowd.ts";

const IDLE = 1100;
const SITE = 500;

test("[TUN-23] 1,100 idle connections of one address leave every request of a device answered", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  const cert = await enrolled(hub, device);
  const idle = [
    ...(await idleConnections(t, hub.estPort, "127.0.0.66", IDLE)),
    ...(await idleConnections(t, hub.mqttPort, "127.0.0.66", IDLE)),
  ];
  let count = 0;
  for (let n = 0; n < 101; n++) if (await answered(ask(hub, "/healthz"), 200)) count += 1;
  t.equal(count, 101);
  t.equal((await simpleEnrol(hub, (await labDevice("gw-2")).csr)).status, 202);
  const { client, connack } = await connect(t, hub, device, cert);
  t.equal(connack, 0);
  await client.publishAsync("sallyport/1/gw-1/up/event", labMessage({ kind: "test" }), { qos: 1 });
  // The kernel accepts connections before the hub does.
  await eventually("the stranger to lose what is beyond its share", async () =>
    idle.filter(({ destroyed }) => !destroyed).length <= 2 * UNPROVEN_PER_SOURCE_MAX ? true : undefined,
  );
  // On a busy machine the first ones are closed for saying nothing before the last ones are taken.
  const alert = await eventually("the alert", async () => {
    const found = (await hub.store.journal.tail(100, "alert")).find(({ event }) => event === "connection.crowded");
    if (found === undefined) await idleConnections(t, hub.estPort, "127.0.0.66", IDLE);
    return found;
  });
  t.match(alert, { detail: { over: "share", from: "127.0.0.66" } });
});

test("[TUN-23] strangers at many addresses displace each other, and no device", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  const cert = await enrolled(hub, device);
  const first = await connect(t, hub, device, cert);
  const addresses = Array.from({ length: 5 }, (_, n) => `127.0.2.${n + 1}`);
  for (const address of addresses) await idleConnections(t, hub.mqttPort, address, 500);
  t.ok(addresses.length * 500 > MQTT_UNPROVEN_MAX);
  t.ok(first.client.connected, "a device that has shown its certificate does not give way");
  const other = await labDevice("gw-2");
  t.equal((await connect(t, hub, other, await enrolled(hub, other))).connack, 0);
});

test("[TUN-23] 500 devices behind one address translation all reconnect, beside idle strangers at that address", async (t) => {
  const { hub, state } = await labHub(t);
  const { issuer } = loadAuthority(state);
  // One key for all: the hub tells devices apart by id and key together.
  const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const site: { readonly device: LabDevice; readonly cert: string }[] = [];
  for (let n = 0; n < SITE; n++) {
    const device = await labDevice(`site-${n}`, { key, withoutAuditKey: true });
    const { id, fingerprint, csr, request } = readRequest(device.csr);
    const issued = issuer.issueDevice(request, Date.now(), 86_400_000);
    const { devices, certificates } = hub.store;
    await hub.store.commit(
      devices.request({
        id,
        fingerprint,
        csr,
        serialNumber: undefined,
        uris: [],
        auditKey: undefined,
        address: "?",
        seenAtMs: 1,
      }),
      devices.decide(id, fingerprint, "approved", 1, "test"),
      certificates.add(id, fingerprint, issued),
    );
    site.push({ device, cert: toPem(issued.der) });
  }
  await idleConnections(t, hub.mqttPort, "127.0.0.1", 600);
  const all = await Promise.all(site.map(async ({ device, cert }) => (await connect(t, hub, device, cert)).connack));
  t.equal(all.filter((connack) => connack === 0).length, SITE);
});
