// A hub that asks without end. It is captured, and must not write the flash full.
import { randomUUID } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { t as root, type Test, test } from "tap";
import * as v from "valibot";
import { parseAgentConfig, parseAnchors } from "../../../agent/config.ts";
import { type HubSession, openHubSession } from "../../../agent/hub-session/index.ts";
import type { Operations } from "../../../agent/operations/index.ts";
import { reportMessageSchema } from "../../../agent/tunnel/format.ts";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import { Fault } from "../../../hal/fault.ts";
import type { Clock } from "../../../hal/ports.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { fakeAppendFiles, fakeFiles } from "../../lab/fakes/files.ts";
import { anchorsFile, makeSigner } from "../../lab/counterparts/hub-signer.ts";
import { connack, type Packet, puback, startMqttPeer, suback, topicOf } from "../../lab/counterparts/mqtt-peer.ts";
import { needs } from "../../lab/runner/needs.ts";
import { watchedOperations } from "../../lab/worlds/operations.ts";
import { makePki, type Pki } from "../../lab/counterparts/pki.ts";
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

interface Observed {
  readonly pki: Pki;
  readonly port: number;
  readonly operations: Operations;
  readonly notes: AuditEntry[];
  readonly lines: string[];
  readonly clock: Clock;
}

/** A session whose tunnel leads to `port`, without a warden and without a repository. */
async function openSession(t: Test, { pki, port, operations, notes, lines, clock }: Observed): Promise<HubSession> {
  const anchors = parseAnchors(anchorsFile(makeSigner("hub", "ed25519"), makeSigner("hub", "cosignature/v1")), "hub.json");
  const config = parseAgentConfig(JSON.stringify({ tunnel: { connectTo: { host: "127.0.0.1", port } } }), "agent.json");
  const stopped = new AbortController();
  const unused = async (): Promise<never> => {
    throw new Fault("protocol.closed", "this test needs no warden and no repository");
  };
  const repository = () => ({ get: unused, close: () => undefined });
  const session = await openHubSession({
    ports: {
      config,
      anchors: { ...anchors, host: "localhost", authority: pki.authority.cert },
      program: "lab",
      files: fakeFiles(),
      spoolFiles: fakeAppendFiles(),
      clock,
      random: () => 0,
      log: (line) => lines.push(line),
      releases: { metadata: unused, imageRoot: unused, drop: unused, repository },
    },
    deviceId: v.parse(deviceIdSchema, "gw-1"),
    hub: { ...anchors, port: 9, authority: pki.authority.cert },
    warden: { call: unused, close: () => undefined },
    operations,
    credentials: async () => ({ cert: pki.client.cert, key: pki.client.key }),
    protection: () => undefined,
    note: (entry) => notes.push(entry),
    onEvent: () => undefined,
    onClockSynced: () => undefined,
    signal: stopped.signal,
  });
  t.teardown(async () => {
    stopped.abort();
    await session.stop();
  });
  return session;
}

test(
  "[OPS-6] [TUN-7] in a flood of operations through the tunnel a bounded number is performed, as many are refused with a fault, and one record is made",
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
    const session = await openSession(t, { pki, port: peer.port, operations, notes, lines, clock });
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
    await eventually("the answers", async () => (answers.length >= 60 ? true : undefined));
    hub.write(requestPacket("last"));
    await eventually("the log line about the last", async () =>
      lines.some((line) => line.includes("operation")) ? true : undefined,
    );
    t.equal(performed.length, 30, "performed, each with its record");
    t.equal(of("operation.rate-limited"), 30, "refused with a fault");
    t.equal(answers.length, 60, "the rest gets no answer, because answers are written to flash too");
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
