// A clean end of the tunnel while the hub owes an acknowledgement, and an end or a new attempt
// while the connection is still being made.
import net from "node:net";
import type { TLSSocket } from "node:tls";
import { t as root, test } from "tap";
import { TIMEOUTS_DEFAULT } from "../../agent/tunnel/index.ts";
import { answerTo, connack, isReport, type Packet, startMqttPeer } from "../lab/counterparts/mqtt-peer.ts";
import { needs } from "../lab/runner/needs.ts";
import { makePki, type Pki } from "../lab/counterparts/pki.ts";
import { eventually } from "../lab/runner/process.ts";
import { startTcpPeer } from "../lab/counterparts/tls-peer.ts";
import { labTunnel } from "../lab/worlds/tunnel.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import type { TestContext } from "../lab/runner/context.ts";

const directory = await temporaryDirectory(root);
const skip = needs("openssl");
const timeouts = { ...TIMEOUTS_DEFAULT, stopMs: 1000 };

interface OwingBroker {
  readonly port: number;
  /** What each connection said, in order, for instance `status online`, `DISCONNECT 0`. */
  readonly said: readonly string[][];
}

/** A broker that acknowledges everything but the messages on `up/event`. */
async function owingBroker(t: TestContext, pki: Pki, welcome: Buffer = connack()): Promise<OwingBroker> {
  const said: string[][] = [];
  const bySocket = new Map<TLSSocket, string[]>();
  const peer = await startMqttPeer(t, pki, (packet, socket) => {
    const lines = bySocket.get(socket) ?? [];
    if (packet.type === 1) {
      said.push(lines);
      bySocket.set(socket, lines);
    }
    if (packet.type === 14) lines.push(`DISCONNECT ${packet.body[0] ?? 0}`);
    if (packet.type === 3) lines.push(isReport(packet) ? "event" : `status ${wordsOf(packet)}`);
    if (!isReport(packet)) socket.write(answerTo(packet, welcome));
  });
  return { port: peer.port, said };
}

/** Waits until connection number `at` has said `words`. */
async function hears({ said }: OwingBroker, words: string, at = 0): Promise<void> {
  await eventually(`the broker hears "${words}"`, async () => (said[at]?.includes(words) === true ? true : undefined));
}

function wordsOf(packet: Packet): string {
  return /"state":"(\w+)"(?:,"reason":"(\w+)")?/u.exec(packet.body.toString())?.slice(1).filter(Boolean).join(" ") ?? "?";
}

test(
  "[TUN-9] a clean stop with a message on the way sends offline, then DISCONNECT: no will is published",
  { skip },
  async (t) => {
    const pki = makePki(directory);
    const broker = await owingBroker(t, pki);
    const { tunnel, spool, event } = await labTunnel(t, { pki, port: broker.port, override: { timeouts } });
    await tunnel.start();
    await tunnel.publish("event", { kind: "owed" });
    await hears(broker, "event");
    await tunnel.stop();
    await hears(broker, "DISCONNECT 0");
    t.same(broker.said, [["status online", "event", "status offline clean", "DISCONNECT 0"]]);
    t.match(await event("disconnected"), { by: "us" });
    t.equal(spool.status().messages, 1, "an unacknowledged message stays in the spool");
  },
);

test("[TUN-9] a new connection with a message on the way first sends DISCONNECT on the old one", { skip }, async (t) => {
  const pki = makePki(directory);
  const broker = await owingBroker(t, pki);
  const { tunnel, event } = await labTunnel(t, { pki, port: broker.port, override: { timeouts } });
  await tunnel.start();
  await tunnel.publish("event", { kind: "owed" });
  await hears(broker, "event");
  tunnel.reconnectNow();
  await event("connected", 1);
  await hears(broker, "DISCONNECT 0");
  t.same(broker.said[0], ["status online", "event", "DISCONNECT 0"]);
  t.match(await event("disconnected"), { by: "us" });
  await hears(broker, "event", 1);
});

test("[TUN-9] a broker with a full window still gets offline before DISCONNECT", { skip }, async (t) => {
  const pki = makePki(directory);
  const broker = await owingBroker(t, pki, connack(Buffer.from([0x21, 0, 1])));
  const override = { timeouts: { ...timeouts, stopMs: 200 } };
  const { tunnel } = await labTunnel(t, { pki, port: broker.port, override });
  await tunnel.start();
  await tunnel.publish("event", { kind: "owed" });
  await hears(broker, "event");
  await tunnel.stop();
  await hears(broker, "DISCONNECT 0");
  t.same(broker.said, [["status online", "event", "status offline clean", "DISCONNECT 0"]]);
});

test("[TUN-9] a broker that accepts no farewell and never closes is left anyway", { skip }, async (t) => {
  const pki = makePki(directory);
  const huge = Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f, 0x00]);
  const peer = await startMqttPeer(t, pki, (packet, socket) => {
    const isFarewell = packet.type === 3 && wordsOf(packet) !== "online";
    socket.write(isFarewell ? huge : answerTo(packet));
  });
  const override = { timeouts: { ...timeouts, stopMs: 200 } };
  const { tunnel, event } = await labTunnel(t, { pki, port: peer.port, override });
  await tunnel.start();
  await event("connected");
  await tunnel.stop();
  t.equal(tunnel.status().state, "idle");
});

test("[TUN-4] reconnectNow during an attempt starts a new one, with the current credentials", { skip }, async (t) => {
  const pki = makePki(directory);
  const broker = await owingBroker(t, pki);
  let attempts = 0;
  const port = await startTcpPeer(t, (socket) => {
    attempts += 1;
    if (attempts === 1) return; // The first attempt hangs, the second gets through.
    const through = net.connect({ host: "127.0.0.1", port: broker.port });
    through.on("error", () => socket.destroy()).on("close", () => socket.destroy());
    socket
      .on("close", () => through.destroy())
      .pipe(through)
      .pipe(socket);
  });
  let asked = 0;
  const credentials = async (): Promise<{ cert: string; key: string }> => {
    asked += 1;
    return { cert: pki.client.cert, key: pki.client.key };
  };
  const lab = await labTunnel(t, { pki, port, override: { timeouts, credentials } });
  await lab.tunnel.start();
  await eventually("the first attempt hangs", async () => (attempts === 1 ? true : undefined));
  lab.tunnel.reconnectNow();
  await lab.event("connected");
  t.equal(asked, 2, "the credentials were read again");
  t.same(
    lab.events.filter(({ kind }) => kind === "refused"),
    [],
    "no refusal is reported",
  );
});

test("[TUN-9] after a stop while the stored state is being read, nothing connects", { skip }, async (t) => {
  const pki = makePki(directory);
  let connections = 0;
  const port = await startTcpPeer(t, () => void (connections += 1));
  const { tunnel } = await labTunnel(t, { pki, port, override: { timeouts } });
  const starting = tunnel.start();
  await tunnel.stop();
  await starting;
  t.equal(tunnel.status().state, "idle");
  await Promise.all([tunnel.start(), tunnel.start()]);
  await eventually("it connects when started again", async () => (connections > 0 ? true : undefined));
  await tunnel.stop();
  t.equal(connections, 1, "started twice it connects once");
});
