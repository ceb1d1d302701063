// Hubs that are down, that are silent, that break the protocol or take little: each fault has its
// own code, every wait ends, and nothing piles up.
import { t as root, test } from "tap";
import { TIMEOUTS_DEFAULT } from "../../agent/tunnel/index.ts";
import { answerTo, connack, isReport, startMqttPeer, suback, topicOf } from "../lab/counterparts/mqtt-peer.ts";
import { freePort } from "../lab/counterparts/mosquitto.ts";
import { needs } from "../lab/runner/needs.ts";
import { makePki } from "../lab/counterparts/pki.ts";
import { eventually, HANG_MS } from "../lab/runner/process.ts";
import { startPeer, startTcpPeer } from "../lab/counterparts/tls-peer.ts";
import { labTunnel } from "../lab/worlds/tunnel.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

/** Each test shortens the one timeout that it is about: a busy machine must not reach another. */
const TIMEOUTS = { ...TIMEOUTS_DEFAULT, stopMs: 200 };
const directory = await temporaryDirectory(root);
const skip = needs("openssl");

test(
  "[TUN-3] a peer that takes the connection and stays silent is given up, in TCP, after TLS, after CONNACK",
  { skip },
  async (t) => {
    const pki = makePki(directory);
    const tcp = await startTcpPeer(t, () => undefined);
    const mute = await startPeer(t, { server: pki.server, authority: pki.authority, onSecure: () => undefined });
    for (const port of [tcp, mute.port]) {
      const override = { timeouts: { ...TIMEOUTS, streamMs: 300, answerMs: 300 } };
      const { tunnel, event } = await labTunnel(t, { pki, port, override });
      await tunnel.start();
      t.equal((await event("refused")).fault.code, "tunnel.timeout");
    }
    const lazy = await startMqttPeer(t, pki, (packet, socket) => void (packet.type === 1 && socket.write(connack())));
    const override = { timeouts: { ...TIMEOUTS, answerMs: 1000 } };
    const { tunnel, event } = await labTunnel(t, { pki, port: lazy.port, override });
    await tunnel.start();
    t.match(await event("disconnected"), { by: "fault", fault: { code: "tunnel.timeout" } }, "no SUBACK");
  },
);

test(
  "[TUN-7] a broker that acknowledges nothing gets a window of messages, no more, and is given up; all are sent again",
  { skip },
  async (t) => {
    const pki = makePki(directory);
    const RECEIVE_MAXIMUM = 5;
    let events = 0;
    let most = 0;
    const peer = await startMqttPeer(t, pki, (packet, socket) => {
      if (packet.type === 1) events = 0;
      if (isReport(packet)) most = Math.max(most, (events += 1));
      else socket.write(answerTo(packet, connack(Buffer.from([0x21, 0, RECEIVE_MAXIMUM]))));
    });
    const timeouts = { ...TIMEOUTS, ackMs: 1000 };
    const { tunnel, event, spool } = await labTunnel(t, { pki, port: peer.port, override: { timeouts } });
    await Promise.all(Array.from({ length: 50 }, (_, count) => tunnel.publish("event", { kind: "lab.count", count })));
    await tunnel.start();
    t.match(await event("disconnected"), { by: "fault", fault: { code: "tunnel.timeout" } });
    await event("disconnected", 1);
    t.equal(most, RECEIVE_MAXIMUM, "no more than the broker said it takes");
    t.equal(spool.status().messages, 50);
  },
);

test("[TUN-7] a broker that announces no window gets ours", { skip }, async (t) => {
  const pki = makePki(directory);
  const sent: string[][] = [];
  const peer = await startMqttPeer(t, pki, (packet, socket) => {
    if (packet.type === 1) sent.push([]);
    if (isReport(packet)) sent.at(-1)?.push(topicOf(packet));
    else socket.write(answerTo(packet));
  });
  const timeouts = { ...TIMEOUTS, ackMs: 1500 };
  const { tunnel, event } = await labTunnel(t, { pki, port: peer.port, override: { timeouts } });
  await Promise.all(Array.from({ length: 100 }, (_, count) => tunnel.publish("event", { kind: "lab.count", count })));
  await tunnel.start();
  await eventually("a window is sent", async () => (sent.some(({ length }) => length >= 32) ? true : undefined), HANG_MS, 1);
  const deliveries = Array.from({ length: 9 }, () => tunnel.deliver("audit", {}));
  await t.rejects(deliveries.at(-1) ?? Promise.resolve(), { code: "tunnel.busy" }, "eight deliveries wait, no more");
  t.same(new Set((await Promise.allSettled(deliveries)).map(({ status }) => status)), new Set(["rejected"]));
  await event("disconnected");
  t.equal(Math.max(...sent.map(({ length }) => length)), 32);
});

test("[TUN-7] a packet that claims 256 MB ends the connection at its header", { skip }, async (t) => {
  const pki = makePki(directory);
  const huge = Buffer.from([0x32, 0xff, 0xff, 0xff, 0x7f, 0x00]);
  const peer = await startMqttPeer(t, pki, (packet, socket) => {
    if (packet.type === 1) socket.write(connack());
    if (packet.type === 8) socket.write(Buffer.concat([suback(packet), huge]));
  });
  const { tunnel, event } = await labTunnel(t, { pki, port: peer.port, override: { timeouts: TIMEOUTS } });
  await tunnel.start();
  t.match(await event("disconnected"), { by: "fault", fault: { code: "tunnel.protocol" } });
});

test("[TUN-3] a server that sends garbage instead of CONNACK is refused", { skip }, async (t) => {
  const pki = makePki(directory);
  const garbage = [
    "HTTP/1.1 400 Bad Request\r\n\r\n",
    "\x00",
    "\x20\x02\xff\xff",
    "\x30\x03\x00\x01a",
    "\xf0\xff\xff\xff\xff\xff",
  ];
  for (const text of garbage) {
    const peer = await startPeer(t, {
      server: pki.server,
      authority: pki.authority,
      onSecure: (socket) => socket.write(Buffer.from(text, "latin1")),
    });
    const { tunnel, event } = await labTunnel(t, { pki, port: peer.port });
    await tunnel.start();
    const { fault } = await event("refused");
    t.equal(fault.code, "tunnel.protocol", fault.message);
  }
});

test("[TUN-4] the keepalive detects a hub that goes silent while connected", { skip }, async (t) => {
  const pki = makePki(directory);
  const peer = await startMqttPeer(t, pki, (packet, socket) => void socket.write(answerTo(packet)));
  const override = { keepaliveS: 1, timeouts: TIMEOUTS };
  const { tunnel, event } = await labTunnel(t, { pki, port: peer.port, override });
  await tunnel.start();
  t.match(await event("disconnected"), { by: "fault", fault: { code: "tunnel.timeout" } });
});

test("[TUN-21] a message larger than the broker takes is dropped and counted, and delays nothing", { skip }, async (t) => {
  const pki = makePki(directory);
  const welcome = connack(Buffer.from([0x27, 0, 0, 4, 0]));
  const peer = await startMqttPeer(t, pki, (packet, socket) => void socket.write(answerTo(packet, welcome)));
  const { tunnel, spool, drops } = await labTunnel(t, { pki, port: peer.port, override: { timeouts: TIMEOUTS } });
  await tunnel.publish("result", { kind: "large", text: "x".repeat(2000) });
  await tunnel.publish("result", { kind: "small" });
  await tunnel.start();
  await eventually("the small one passes", async () => (spool.status().messages === 0 ? true : undefined));
  t.same(drops, [{ class: "result", reason: "refused", messages: 1 }]);
  t.equal(tunnel.status().spool.dropped, 1);
  await t.rejects(tunnel.publish("result", { kind: "huge", text: "x".repeat(262_144) }), { code: "spool.too-large" });
});

test(
  "[TUN-4] [TUN-9] a hub that is down: attempts go on, what is published waits, and stop is prompt at any moment",
  { skip },
  async (t) => {
    const pki = makePki(directory);
    const port = await freePort();
    const { tunnel, event, spool } = await labTunnel(t, { pki, port });
    await tunnel.start();
    t.equal((await event("refused")).fault.code, "tunnel.unreachable");
    t.match(tunnel.status(), { state: "waiting", connections: 0, lastFault: { code: "tunnel.unreachable" } });
    await tunnel.publish("result", { kind: "kept" });
    t.equal(spool.status().messages, 1);
    await event("refused", 1);
    tunnel.reconnectNow();
    await event("refused", 2);
    await tunnel.stop();
    t.equal(tunnel.status().state, "idle");
    const silent = await startTcpPeer(t, () => undefined);
    const connecting = await labTunnel(t, { pki, port: silent });
    await connecting.tunnel.start();
    await connecting.tunnel.stop();
    t.same(connecting.events, [], "no refusal is reported: the device left");
  },
);
