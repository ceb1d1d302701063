// Hubs that are down, silent, rude or too small: each is named for what it is, nothing waits for ever, nothing piles up.
import { t as root, test } from "tap";
import { TIMEOUTS_DEFAULT } from "../../agent/tunnel/index.ts";
import { connack, puback, startMqttPeer, suback, topicOf } from "../lab/counterparts/mqtt-peer.ts";
import { freePort } from "../lab/counterparts/mosquitto.ts";
import { needs } from "../lab/runner/needs.ts";
import { makePki } from "../lab/counterparts/pki.ts";
import { eventually } from "../lab/runner/process.ts";
import { startPeer, startTcpPeer } from "../lab/counterparts/tls-peer.ts";
import { labTunnel } from "../lab/worlds/tunnel.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

const SHORT = { ...TIMEOUTS_DEFAULT, streamMs: 300, answerMs: 300, ackMs: 300, stopMs: 200 };
const directory = await temporaryDirectory(root);
const skip = needs("openssl");

test(
  "[TUN-3] a peer that takes the connection and stays silent is given up, in TCP, after TLS, after CONNACK",
  { skip },
  async (t) => {
    const pki = makePki(directory);
    const override = { timeouts: SHORT };
    const tcp = await startTcpPeer(t, () => undefined);
    const mute = await startPeer(t, { server: pki.server, authority: pki.authority, onSecure: () => undefined });
    for (const port of [tcp, mute.port]) {
      const { tunnel, event } = await labTunnel(t, { pki, port, override });
      await tunnel.start();
      t.equal((await event("refused")).fault.code, "tunnel.timeout");
    }
    const lazy = await startMqttPeer(t, pki, (packet, socket) => void (packet.type === 1 && socket.write(connack())));
    const { tunnel, event } = await labTunnel(t, { pki, port: lazy.port, override });
    await tunnel.start();
    t.match(await event("disconnected"), { by: "fault", fault: { code: "tunnel.timeout" } }, "no SUBACK");
  },
);

test(
  "[TUN-7] a broker that acknowledges nothing gets a window of messages, no more, and is given up; all of it comes again",
  { skip },
  async (t) => {
    const pki = makePki(directory);
    const RECEIVE_MAXIMUM = 5;
    let events = 0;
    let most = 0;
    const peer = await startMqttPeer(t, pki, (packet, socket) => {
      if (packet.type === 1) {
        events = 0;
        socket.write(connack(Buffer.from([0x21, 0, RECEIVE_MAXIMUM])));
      } else if (packet.type === 8) socket.write(suback(packet));
      else if (packet.type === 3 && topicOf(packet).endsWith("/status")) socket.write(puback(packet));
      else if (packet.type === 3) most = Math.max(most, (events += 1));
    });
    const { tunnel, event, spool } = await labTunnel(t, { pki, port: peer.port, override: { timeouts: SHORT } });
    await Promise.all(Array.from({ length: 50 }, (_, count) => tunnel.publish("event", { kind: "lab.count", count })));
    await tunnel.start();
    t.match(await event("disconnected"), { by: "fault", fault: { code: "tunnel.timeout" } });
    await event("disconnected", 1);
    t.equal(most, RECEIVE_MAXIMUM, "no more than the broker said it takes");
    t.equal(spool.status().messages, 50);
  },
);

test("[TUN-7] a broker that says nothing of its window gets ours", { skip }, async (t) => {
  const pki = makePki(directory);
  const sent: string[] = [];
  const peer = await startMqttPeer(t, pki, (packet, socket) => {
    if (packet.type === 1) socket.write(connack());
    else if (packet.type === 8) socket.write(suback(packet));
    else if (packet.type === 3 && topicOf(packet).endsWith("/status")) socket.write(puback(packet));
    else if (packet.type === 3) sent.push(topicOf(packet));
  });
  const timeouts = { ...SHORT, ackMs: 1500 };
  const { tunnel, event } = await labTunnel(t, { pki, port: peer.port, override: { timeouts } });
  await Promise.all(Array.from({ length: 100 }, (_, count) => tunnel.publish("event", { kind: "lab.count", count })));
  await tunnel.start();
  await eventually("a window is sent", async () => (sent.length >= 32 ? true : undefined));
  const deliveries = Array.from({ length: 9 }, () => tunnel.deliver("audit", {}));
  await t.rejects(deliveries.at(-1) ?? Promise.resolve(), { code: "tunnel.busy" }, "eight deliveries wait, no more");
  t.same(new Set((await Promise.allSettled(deliveries)).map(({ status }) => status)), new Set(["rejected"]));
  await event("disconnected");
  t.equal(sent.length, 32);
});

test("[TUN-7] a packet that claims 256 MB ends the connection at its header", { skip }, async (t) => {
  const pki = makePki(directory);
  const peer = await startMqttPeer(t, pki, (packet, socket) => {
    if (packet.type === 1) socket.write(connack());
    if (packet.type === 8) socket.write(Buffer.concat([suback(packet), Buffer.from([0x32, 0xff, 0xff, 0xff, 0x7f, 0x00])]));
  });
  const { tunnel, event } = await labTunnel(t, { pki, port: peer.port, override: { timeouts: SHORT } });
  await tunnel.start();
  t.match(await event("disconnected"), { by: "fault", fault: { code: "tunnel.protocol" } });
});

test("[TUN-3] garbage instead of CONNACK is no hub", { skip }, async (t) => {
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

test("[TUN-4] a hub that goes silent while connected is found out by the keepalive", { skip }, async (t) => {
  const pki = makePki(directory);
  const peer = await startMqttPeer(t, pki, (packet, socket) => {
    if (packet.type === 1) socket.write(connack());
    if (packet.type === 8) socket.write(suback(packet));
    if (packet.type === 3) socket.write(puback(packet));
  });
  const override = { keepaliveS: 1, timeouts: SHORT };
  const { tunnel, event } = await labTunnel(t, { pki, port: peer.port, override });
  await tunnel.start();
  t.match(await event("disconnected"), { by: "fault", fault: { code: "tunnel.timeout" } });
  t.equal(tunnel.status().state, "waiting");
});

test("[TUN-6] a message larger than the broker takes is dropped and counted; it holds up nothing", { skip }, async (t) => {
  const pki = makePki(directory);
  const peer = await startMqttPeer(t, pki, (packet, socket) => {
    if (packet.type === 1) socket.write(connack(Buffer.from([0x27, 0, 0, 4, 0])));
    else if (packet.type === 8) socket.write(suback(packet));
    else if (packet.type === 3) socket.write(puback(packet));
  });
  const { tunnel, spool, drops } = await labTunnel(t, { pki, port: peer.port, override: { timeouts: SHORT } });
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
    t.same(connecting.events, [], "nobody refused us: we left");
  },
);
