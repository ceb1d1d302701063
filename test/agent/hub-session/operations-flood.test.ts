// A hub that asks without end. It is captured, and must not write the flash full.
import { randomUUID } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { t as root, test } from "tap";
import * as v from "valibot";
import { reportMessageSchema } from "../../../agent/tunnel/format.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { connack, type Packet, puback, startMqttPeer, suback, topicOf } from "../../lab/counterparts/mqtt-peer.ts";
import { needs } from "../../lab/runner/needs.ts";
import { openLabHubSession } from "../../lab/worlds/hub-session.ts";
import { watchedOperations } from "../../lab/worlds/operations.ts";
import { makePki } from "../../lab/counterparts/pki.ts";
import { eventually } from "../../lab/runner/process.ts";
import { realClock } from "../../lab/worlds/tunnel.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const directory = await temporaryDirectory(root);

/** A PUBLISH at QoS 0 to `down/operation`, MQTT 5. */
function requestPacket(id: string): Buffer {
  const topic = Buffer.from("sallyport/1/gw-1/down/operation");
  const body = { v: 1, id, operation: "status", args: {} };
  const payload = Buffer.from(JSON.stringify({ v: 1, id: randomUUID(), at: new Date().toISOString(), body }));
  const rest = Buffer.concat([Buffer.from([0, topic.length]), topic, Buffer.from([0]), payload]);
  return Buffer.concat([Buffer.from([0x30, (rest.length & 0x7f) | 0x80, rest.length >> 7]), rest]);
}

test(
  "[OPS-6] [TUN-7] in a flood of operations through the tunnel a bounded number is performed, all others are refused with a fault, and one record is made",
  { skip: needs("openssl") },
  async (t) => {
    const pki = makePki(directory);
    const answers: string[] = [];
    const peers: TLSSocket[] = [];
    const answer = (packet: Packet, socket: TLSSocket): void => {
      if (packet.type === 1) socket.write(connack());
      if (packet.type === 8) socket.write(suback(packet));
      if (packet.type === 3) socket.write(puback(packet));
      if (packet.type === 3 && topicOf(packet).endsWith("/status")) peers.push(socket);
      if (packet.type !== 3 || !topicOf(packet).endsWith("/result")) return;
      const message = v.parse(reportMessageSchema, JSON.parse(packet.body.subarray(packet.body.indexOf('{"v"')).toString()));
      answers.push(JSON.stringify(message.body));
    };
    const peer = await startMqttPeer(t, pki, answer);
    const { operations, entries: performed } = watchedOperations();
    const notes: AuditEntry[] = [];
    const lines: string[] = [];
    const clock = { ...realClock, ms: 0, monotonicMs: () => clock.ms };
    const session = await openLabHubSession(t, { pki, port: peer.port, operations, notes, lines, clock });
    await session.connect();
    const hub = await eventually("the birth", async () => peers[0]);
    const ask = async (count: number): Promise<void> => {
      for (let asked = 0; asked < count; asked += 1) {
        hub.write(requestPacket(`q-${asked}`));
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    };
    const of = (code: string): number => answers.filter((each) => each.includes(code)).length;
    await ask(100);
    await eventually("the answers", async () => (answers.length === 100 ? true : undefined));
    hub.write(requestPacket("last"));
    await eventually("the log line about the last", async () =>
      lines.some((line) => line.includes("operation")) ? true : undefined,
    );
    t.equal(performed.length, 30, "performed, each with its record");
    t.ok(of("operation.rate-limited") >= 70, "every other one is refused with a fault");
    const floods = (): readonly AuditEntry[] => notes.filter(({ detail }) => detail?.["code"] === "operation.rate-limited");
    t.match(floods(), [{ event: "input.refused", result: "refused", detail: { channel: "tunnel" } }]);
    t.equal(floods().length, 1);
    t.ok(lines.filter((line) => line.includes("rate-limited")).length <= 10, "and the journal is not flooded");

    clock.ms += 2000;
    await ask(3);
    await eventually("one more", async () => (performed.length === 31 ? true : undefined));
    t.equal(floods().length, 1, "the same flood continues");
    clock.ms += 60_000;
    await ask(31);
    await eventually("another flood", async () => (floods().length === 2 ? true : undefined));
    t.equal(performed.length, 61);
  },
);
