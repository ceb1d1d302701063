// Admission to the broker, over real TLS with a real MQTT client.
import { once } from "node:events";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import type { MqttClient } from "mqtt";
import { test } from "tap";
import { revoke } from "../../../hub/devices/index.ts";
import { distinguishedName, issue } from "../../../hub/authority/certificate.ts";
import { loadAuthority, pem } from "../../../hub/authority/index.ts";
import { OID } from "../../../hub/authority/oids.ts";
import { makeAuthority, createIssuer } from "../../../hub/authority/issuer.ts";
import { openStore } from "../../../hub/store/index.ts";
import type { Hub } from "../../../hub/index.ts";
import { der, parseRequest } from "../../../provisioning/x509/format/index.ts";
import { connect, enrolled, labDevice, labHub, labMessage, simpleEnrol } from "../../lab/worlds/hub.ts";
import { eventually } from "../../lab/runner/process.ts";

async function refusals(hub: Hub): Promise<readonly unknown[]> {
  return (await hub.store.journal.tail(20, "warning")).filter(({ event }) => event === "connection.refused");
}

test("[TUN-3] an approved device is admitted; the hub reports protocol, cipher and the hybrid group of its side", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  const { connack, socket } = await connect(t, hub, device, await enrolled(hub, device));
  t.equal(connack, 0);
  t.match(socket.getEphemeralKeyInfo(), { name: "X25519MLKEM768" });
  t.equal(socket.alpnProtocol, "mqtt");
  const connection = await eventually("the connection in the list", async () => hub.store.connections.find(device.id));
  t.match(connection, { protocol: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", group: "X25519MLKEM768", address: "127.0.0.1" });
});

test("[TUN-2] a client without the hybrid group gets the classical one, and TLS 1.2 is accepted where it is allowed", async (t) => {
  const { hub } = await labHub(t, { minTls: "TLSv1.2" });
  const device = await labDevice("gw-1");
  const cert = await enrolled(hub, device);
  for (const [ecdhCurve, maxVersion, group] of [
    ["X25519", "TLSv1.3", "X25519"],
    ["prime256v1", "TLSv1.2", "?"], // a TLS 1.2 session does not say
  ] as const) {
    const { client, connack } = await connect(t, hub, device, cert, { tls: { ecdhCurve, maxVersion } });
    t.equal(connack, 0);
    const found = await eventually("the connection", async () => {
      const connection = await hub.store.connections.find(device.id);
      return connection?.protocol === maxVersion ? connection : undefined;
    });
    t.equal(found.group, group);
    await client.endAsync();
  }
});

test("[TUN-3] a client without a certificate is refused with CONNACK 5, not by a cut connection, and the reason is noted", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  await enrolled(hub, device);
  t.equal((await connect(t, hub, device, undefined)).connack, 5);
  t.match(await refusals(hub), [
    { deviceId: undefined, detail: { reason: "no-certificate", clientId: "gw-1", address: "127.0.0.1" } },
  ]);
});

test("[TUN-3] a certificate of another authority with the same name is refused", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  await enrolled(hub, device);
  const attacker = createIssuer("lab hub", makeAuthority("lab hub", Date.now()));
  const forged = pem(attacker.issueDevice(parseRequest(device.csr), Date.now(), 86_400_000).der);
  t.equal((await connect(t, hub, device, forged)).connack, 5);
  t.match(await refusals(hub), [{ deviceId: undefined, detail: { reason: "untrusted", claimed: "gw-1" } }]);
});

test("[TUN-3] a certificate that names the authority and its key but was signed with another key is refused", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  const real = new X509Certificate(hub.anchors.authority);
  const attacker = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  await enrolled(hub, device);
  const { subject, publicKey } = named(device.csr);
  const forged = issue(
    {
      subject,
      issuer: distinguishedName(
        { oid: OID.organizationName, value: der.utf8String("Sallyport") },
        { oid: OID.commonName, value: der.utf8String("lab hub") },
      ),
      publicKey,
      issuerPublicKey: real.publicKey.export({ format: "der", type: "spki" }),
      notBeforeMs: Date.now() - 1000,
      notAfterMs: Date.now() + 86_400_000,
      kind: "client",
      names: [],
    },
    attacker,
  );
  t.ok(new X509Certificate(forged.der).checkIssued(real), "everything but the signature is right");
  t.equal((await connect(t, hub, device, pem(forged.der))).connack, 5);
  t.match(await refusals(hub), [{ detail: { reason: "untrusted", claimed: "gw-1" } }]);
});

test("[TUN-3] a server certificate is refused, although the authority signed it", async (t) => {
  const { hub, state } = await labHub(t);
  const device = await labDevice("localhost");
  await enrolled(hub, device);
  const cert = readFileSync(join(state, "server.pem"), "utf8");
  const keyPem = readFileSync(join(state, "server.key"), "utf8");
  t.equal((await connect(t, hub, { ...device, keyPem }, cert)).connack, 5);
  t.match(await refusals(hub), [{ detail: { reason: "wrong-usage", claimed: "localhost" } }]);
});

test("[TUN-3] a certificate signed by a device's key, chained to the authority, is refused", async (t) => {
  const { hub } = await labHub(t);
  const [device, victim] = [await labDevice("gw-1"), await labDevice("gw-2")];
  const chainEnd = await enrolled(hub, device);
  await enrolled(hub, victim);
  const { subject, publicKey } = named(victim.csr);
  const forged = issue(
    {
      subject,
      issuer: named(device.csr).subject,
      publicKey,
      issuerPublicKey: parseRequest(device.csr).publicKey,
      notBeforeMs: Date.now() - 1000,
      notAfterMs: Date.now() + 86_400_000,
      kind: "client",
      names: [],
    },
    device.key,
  );
  t.equal((await connect(t, hub, victim, pem(forged.der) + chainEnd)).connack, 5);
  t.match(await refusals(hub), [{ detail: { reason: "untrusted" } }]);
});

test("[TUN-3] an expired certificate is refused; when one expires, its connection ends at the next check", async (t) => {
  const { hub, state } = await labHub(t, { certificateLifeMs: 1500, certificateLifeMsMin: 0 });
  const device = await labDevice("gw-1");
  const cert = await enrolled(hub, device);
  const { client, connack } = await connect(t, hub, device, cert);
  t.equal(connack, 0);
  const ended = { yet: false };
  void closed(client).then(() => (ended.yet = true));
  await eventually("its end", async () => {
    await writeFromOutside(state); // makes the hub check
    return ended.yet ? true : undefined;
  });
  t.equal((await connect(t, hub, device, cert)).connack, 5);
  t.match(await refusals(hub), [{ detail: { reason: "expired", claimed: "gw-1" } }]);
});

test("[TUN-3] [ID-7] a certificate whose key no operator approved is refused", async (t) => {
  const { hub, state } = await labHub(t);
  const device = await labDevice("gw-1");
  await simpleEnrol(hub, device.csr); // pending
  const { issuer } = loadAuthority(state);
  const cert = pem(issuer.issueDevice(parseRequest(device.csr), Date.now(), 86_400_000).der);
  t.equal((await connect(t, hub, device, cert)).connack, 5);
  t.match(await refusals(hub), [{ detail: { reason: "unknown", claimed: "gw-1" } }]);
});

test("[TUN-11] a client id that is not the certificate's CN is refused with CONNACK 2 and disturbs no other client", async (t) => {
  const { hub } = await labHub(t);
  const [device, victim] = [await labDevice("gw-1"), await labDevice("gw-2")];
  const cert = await enrolled(hub, device);
  const there = await connect(t, hub, victim, await enrolled(hub, victim));
  for (const clientId of ["gw-2", "gw-1x", "", "$SYS"])
    t.equal((await connect(t, hub, device, cert, { clientId })).connack, 2, `"${clientId}"`);
  t.match((await refusals(hub))[0], { deviceId: "gw-1", detail: { reason: "client-id", clientId: "gw-2" } });
  await there.client.publishAsync("sallyport/1/gw-2/up/event", labMessage({ kind: "test" }), { qos: 1 });
  t.pass("the one whose id was claimed is still connected");
});

test("[TUN-11] a will on any topic but its own status is refused", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  const cert = await enrolled(hub, device);
  const payload = Buffer.from("x");
  for (const topic of ["sallyport/1/gw-2/up/status", "sallyport/1/gw-1/down/operation", "sallyport/1/gw-1/up/event", "$SYS/x"])
    t.equal((await connect(t, hub, device, cert, { will: { topic, payload, qos: 1, retain: false } })).connack, 5, topic);
  const good = { topic: "sallyport/1/gw-1/up/status", payload, qos: 1, retain: true } as const;
  t.equal((await connect(t, hub, device, cert, { will: good })).connack, 0);
});

test("[TUN-10] MQTT 5 is refused as an unacceptable protocol version, and that is not a warning", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  t.not((await connect(t, hub, device, await enrolled(hub, device), { protocolVersion: 5 })).connack, 0);
  t.same(await refusals(hub), [], "a version negotiation is not a refusal to investigate");
  t.match(
    (await hub.store.journal.tail(20, "info")).filter(({ event }) => event === "connection.mqtt-version"),
    [{ severity: "info", deviceId: "gw-1", detail: { version: 5 } }],
  );
});

test("[TUN-3] a revoked device is refused, and its live connection is ended", async (t) => {
  const { hub, state } = await labHub(t);
  const device = await labDevice("gw-1");
  const cert = await enrolled(hub, device);
  const { client } = await connect(t, hub, device, cert);
  const ended = closed(client);
  await eventually("the connection in the list", async () => hub.store.connections.find(device.id));
  // The command line does the same: through a store of its own.
  const store = await openStore(join(state, "hub.db"));
  await revoke({ store }, device.id, "test");
  await store.close();
  await ended;
  t.equal((await connect(t, hub, device, cert)).connack, 5);
  t.match(await refusals(hub), [{ detail: { reason: "revoked", claimed: "gw-1" } }]);
  t.match(
    (await hub.store.journal.tail(20, "notice")).find(({ event }) => event === "connection.kicked"),
    { detail: { reason: "revoked" } },
  );
});

test("[TUN-5] a second connection of the same device replaces the first, and that is noted", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  const cert = await enrolled(hub, device);
  const first = await connect(t, hub, device, cert);
  const ended = closed(first.client);
  const second = await connect(t, hub, device, cert);
  await ended;
  t.equal(second.connack, 0);
  t.match(await hub.store.journal.tail(20, "warning"), [{ event: "connection.replaced", deviceId: "gw-1" }]);
  t.ok(await hub.store.connections.find(device.id), "the list has the second");
});

test("a resumed TLS session is checked again: if the device was revoked in between, it is refused", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  const cert = await enrolled(hub, device);
  const first = await connect(t, hub, device, cert);
  const session = first.socket.getSession();
  await first.client.endAsync();
  const again = await connect(t, hub, device, cert, { tls: session === undefined ? {} : { session } });
  t.equal(again.connack, 0, "resumed or not, the device is the same");
  await again.client.endAsync();
  await revoke({ store: hub.store }, device.id, "test");
  t.equal((await connect(t, hub, device, cert, { tls: session === undefined ? {} : { session } })).connack, 5);
});

test("packets are refused by their header: no client makes the hub hold 200 MB", async (t) => {
  const { hub } = await labHub(t);
  const socket = connectTls({ host: "127.0.0.1", servername: "localhost", port: hub.mqttPort, ca: hub.anchors.authority });
  await once(socket, "secureConnect");
  socket.on("error", () => undefined);
  // CONNECT that announces 200 MB
  socket.write(Buffer.of(0x10, 0xff, 0xff, 0xff, 0x5f, 0x00, 0x04));
  await once(socket, "close");
  t.match(await hub.store.journal.tail(5, "warning"), [{ event: "packet.refused", detail: { bytes: 0xbffffff } }]);
});

function named(csr: Uint8Array) {
  const { commonName, publicKey } = parseRequest(csr);
  return { subject: distinguishedName({ oid: OID.commonName, value: der.utf8String(commonName) }), publicKey };
}

async function closed(client: MqttClient): Promise<void> {
  return new Promise((resolve) => client.once("close", () => resolve()));
}

/** Any write of another process makes the hub check its connections. */
async function writeFromOutside(state: string): Promise<void> {
  const store = await openStore(join(state, "hub.db"));
  store.journal.note("hub.started", undefined, {}, Date.now());
  await store.close();
}
