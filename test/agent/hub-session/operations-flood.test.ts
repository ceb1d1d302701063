// A hub that asks without end: it is a captured one, and must not write our flash full.
import { randomUUID } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { t as root, test } from "tap";
import * as v from "valibot";
import { parseAgentConfig, parseAnchors } from "../../../agent/config.ts";
import { openHubSession } from "../../../agent/hub-session/index.ts";
import { reportMessageSchema } from "../../../agent/tunnel/format.ts";
import { deviceIdentitySchema } from "../../../hal/identity/format.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { fakeAppendFiles, fakeFiles } from "../../lab/fakes/files.ts";
import { anchorsFile, makeSigner } from "../../lab/counterparts/hub-signer.ts";
import { connack, type Packet, puback, startMqttPeer, suback, topicOf } from "../../lab/counterparts/mqtt-peer.ts";
import { needs } from "../../lab/runner/needs.ts";
import { watchedOperations } from "../../lab/worlds/operations.ts";
import { makePki } from "../../lab/counterparts/pki.ts";
import { eventually } from "../../lab/runner/process.ts";
import { realClock } from "../../lab/worlds/tunnel.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const directory = await temporaryDirectory(root);

/** A PUBLISH at QoS 0 to `down/operation`, MQTT 5. */
function asking(id: string): Buffer {
  const topic = Buffer.from("sallyport/1/gw-1/down/operation");
  const body = { v: 1, id, operation: "status", args: {} };
  const payload = Buffer.from(JSON.stringify({ v: 1, id: randomUUID(), at: new Date().toISOString(), body }));
  const rest = Buffer.concat([Buffer.from([0, topic.length]), topic, Buffer.from([0]), payload]);
  return Buffer.concat([Buffer.from([0x30, (rest.length & 0x7f) | 0x80, rest.length >> 7]), rest]);
}

test(
  "[OPS-6] [TUN-7] of a flood of operations by the tunnel so many are carried out, so many refused with a fault, and one record tells of it",
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
    const anchors = parseAnchors(anchorsFile(makeSigner("hub", "ed25519"), makeSigner("hub", "cosignature/v1")), "hub.json");
    const clock = { ...realClock, ms: 0, monotonicMs: () => clock.ms };
    const link = await openHubSession({
      parts: {
        config: parseAgentConfig(JSON.stringify({ tunnel: { connectTo: { host: "127.0.0.1", port: peer.port } } }), "agent.json"),
        anchors: { ...anchors, host: "localhost", authority: pki.authority.cert },
        program: "lab",
        files: fakeFiles(),
        spoolFiles: fakeAppendFiles(),
        clock,
        random: () => 0,
        log: (line) => lines.push(line),
      },
      identity: v.parse(deviceIdentitySchema, { id: "gw-1", source: "commissioned", macs: [] }),
      uploader: {
        connected: () => undefined,
        disconnected: () => undefined,
        poke: () => undefined,
        answer: () => undefined,
        trouble: () => undefined,
        stop: async () => undefined,
      },
      operations,
      credentials: async () => ({ cert: pki.client.cert, key: pki.client.key }),
      clockState: () => undefined,
      protection: () => undefined,
      note: (entry) => notes.push(entry),
      onEvent: () => undefined,
      onHint: () => undefined,
    });
    t.teardown(() => link.stop());
    await link.connect();
    const hub = await eventually("the birth", async () => peers[0]);
    const ask = async (count: number): Promise<void> => {
      for (let asked = 0; asked < count; asked += 1) {
        hub.write(asking(`q-${asked}`));
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    };
    const of = (code: string): number => answers.filter((each) => each.includes(code)).length;
    await ask(100);
    await eventually("the answers", async () => (answers.length >= 60 ? true : undefined));
    hub.write(asking("last"));
    await eventually("the last is told", async () => (lines.some((line) => line.includes("operation")) ? true : undefined));
    t.equal(performed.length, 30, "carried out, each with its record");
    t.equal(of("operation.rate-limited"), 30, "refused and told so");
    t.equal(answers.length, 60, "the rest gets no answer: answers are written to flash too");
    const floods = (): readonly AuditEntry[] => notes.filter(({ detail }) => detail?.["code"] === "operation.rate-limited");
    t.match(floods(), [{ event: "input.refused", result: "refused", detail: { channel: "tunnel" } }]);
    t.equal(floods().length, 1);
    t.ok(lines.filter((line) => line.includes("rate-limited")).length <= 10, "nor is the journal flooded");

    clock.ms += 2000;
    await ask(3);
    await eventually("one more", async () => (performed.length === 31 ? true : undefined));
    t.equal(floods().length, 1, "the flood goes on, it is no new one");
    clock.ms += 60_000;
    await ask(31);
    await eventually("another flood", async () => (floods().length === 2 ? true : undefined));
    t.equal(performed.length, 61);
  },
);
