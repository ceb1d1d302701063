// Servers that are not the hub, and devices that the hub refuses: every certificate is real, and
// each has its own reason.
import type { TLSSocket } from "node:tls";
import { t as root, test } from "tap";
import { startMosquitto } from "../lab/counterparts/mosquitto.ts";
import { needs } from "../lab/runner/needs.ts";
import { makePki } from "../lab/counterparts/pki.ts";
import { eventually } from "../lab/runner/process.ts";
import { startPeer } from "../lab/counterparts/tls-peer.ts";
import { labTunnel } from "../lab/worlds/tunnel.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

const directory = await temporaryDirectory(root);

test("[TUN-2] a peer that is not the hub gets no CONNECT", { skip: needs("openssl") }, async (t) => {
  const pki = makePki(directory);
  const impostors = [
    { what: "a certificate for another name", server: pki.wrongName, code: "tls.hub-name" },
    { what: "an attacker's authority of the same name", server: pki.attackerServer, code: "tls.hub-untrusted" },
    { what: "nobody's certificate", server: pki.selfSigned, code: "tls.hub-untrusted" },
    { what: "a device's certificate", server: pki.clientAuthOnly, code: "tls.hub-untrusted" },
    { what: "a certificate of the past", server: pki.expired, code: "tls.hub-dates" },
    { what: "a certificate of the future", server: pki.notYetValid, code: "tls.hub-dates" },
  ] as const;
  for (const { what, server, code } of impostors) {
    await t.test(what, async (t) => {
      let bytes = 0;
      const onSecure = (socket: NodeJS.ReadableStream): void =>
        void socket.on("data", (chunk: Buffer) => (bytes += chunk.length));
      const peer = await startPeer(t, { server, authority: pki.authority, onSecure });
      const { tunnel, event } = await labTunnel(t, { pki, port: peer.port });
      await tunnel.start();
      const { fault } = await event("refused");
      t.equal(fault.code, code, fault.message);
      t.equal(bytes, 0, "nothing was sent to it");
      t.equal(tunnel.status().connections, 0);
    });
  }
});

test("[TUN-2] the name is checked also when the connection goes to an address", { skip: needs("openssl") }, async (t) => {
  const pki = makePki(directory);
  const peer = await startPeer(t, { server: pki.server, authority: pki.authority, onSecure: (socket) => socket.end() });
  const anchors = { host: "10.9.8.7", mqttPort: peer.port, authority: pki.authority.cert };
  const { tunnel, event } = await labTunnel(t, { pki, port: peer.port, override: { anchors } });
  await tunnel.start();
  t.equal((await event("refused")).fault.code, "tls.hub-name");
});

test("[TUN-2] TLS 1.2 is refused unless configured, and then has forward secrecy", { skip: needs("openssl") }, async (t) => {
  const pki = makePki(directory);
  const old = await startPeer(t, {
    server: pki.server,
    authority: pki.authority,
    maxVersion: "TLSv1.2",
    onSecure: () => undefined,
  });
  const strict = await labTunnel(t, { pki, port: old.port });
  await strict.tunnel.start();
  t.equal((await strict.event("refused")).fault.code, "tunnel.protocol");
  const lenient = await labTunnel(t, { pki, port: old.port, override: { minTls: "TLSv1.2" } });
  await lenient.tunnel.start();
  await eventually("a handshake with TLS 1.2", async () => old.sockets[0]);
  for (const socket of old.sockets) t.match(socket.getCipher().name, /^ECDHE-ECDSA-.*GCM/u);
});

test(
  "[TUN-3] a hub that refuses the device's certificate in TLS is a refusal, although the handshake looked finished",
  { skip: needs("mosquitto", "openssl") },
  async (t) => {
    const pki = makePki(directory);
    const broker = await startMosquitto(t, { authority: pki.authority, server: pki.server });
    const credentials = async () => ({ cert: pki.attackerClient.cert, key: pki.attackerClient.key });
    const { tunnel, event, events } = await labTunnel(t, { pki, port: broker.port, override: { credentials } });
    await tunnel.start();
    const { fault } = await event("refused");
    t.equal(fault.code, "tunnel.refused", fault.message);
    t.notOk(
      events.some(({ kind }) => kind === "connected"),
      "secureConnect did not count as a connection",
    );
  },
);

test(
  "[TUN-3] [TUN-71] a broker that refuses by CONNACK is a refusal with its code, unless it says that it is unavailable",
  { skip: needs("openssl") },
  async (t) => {
    const pki = makePki(directory);
    const answers = [
      { bytes: [0x20, 0x03, 0x00, 0x87, 0x00], says: /135/u, code: "tunnel.refused" },
      { bytes: [0x20, 0x03, 0x00, 0x88, 0x00], says: /136/u, code: "tunnel.busy" },
      { bytes: [0x20, 0x02, 0x00, 0x05], says: /5/u, code: "tunnel.refused" },
      { bytes: [0x20, 0x02, 0x00, 0x03], says: /3/u, code: "tunnel.busy" },
    ];
    for (const { bytes, says, code } of answers) {
      const seen: string[] = [];
      const onSecure = (socket: TLSSocket): void => {
        seen.push(String(socket.getPeerCertificate().subject.CN));
        socket.once("data", () => socket.write(Buffer.from(bytes)));
      };
      const peer = await startPeer(t, { server: pki.server, authority: pki.authority, onSecure });
      const { tunnel, event } = await labTunnel(t, { pki, port: peer.port });
      await tunnel.start();
      const { fault } = await event("refused");
      t.equal(fault.code, code);
      t.match(fault.message, says);
      t.equal(seen[0], "gw-1", "the hub saw our certificate without rejecting it");
    }
  },
);

test(
  "[TUN-2] one TLS context serves every connection with the same credentials, another one those with the next",
  { skip: needs("openssl") },
  async (t) => {
    const pki = makePki(directory);
    const seen: string[] = [];
    const peer = await startPeer(t, {
      server: pki.server,
      authority: pki.authority,
      onSecure: (socket) => {
        seen.push(socket.getPeerCertificate().fingerprint256);
        socket.end();
      },
    });
    let current = pki.client;
    const { tunnel, event } = await labTunnel(t, {
      pki,
      port: peer.port,
      override: { credentials: async () => ({ cert: current.cert, key: current.key }) },
    });
    await tunnel.start();
    await event("refused", 1);
    current = pki.attackerClient;
    tunnel.reconnectNow();
    await eventually("another certificate is shown", async () => (seen.at(-1) === seen[0] ? undefined : true));
    t.equal(seen[0], seen[1], "the certificate was the same until then");
  },
);
