// Memory after floods of hub messages: what they left behind is counted on the heap, after garbage
// collection. The resident size is no measure here: allocators keep pages for reuse.
import { randomUUID } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { getHeapStatistics, queryObjects, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { test } from "tap";
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import { connack, type Packet, puback, publication, startMqttPeer, suback, topicOf } from "../lab/counterparts/mqtt-peer.ts";
import { makePki } from "../lab/counterparts/pki.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { labMessage } from "../lab/worlds/hub.ts";
import { openLabHubSession } from "../lab/worlds/hub-session.ts";
import { watchedOperations } from "../lab/worlds/operations.ts";
import { realClock } from "../lab/worlds/tunnel.ts";

const WAVE = 200;
const KEPT_BYTES_MAX = 1_048_576;
/** The last fault of each part that reports one, and its causes. */
const KEPT_FAULTS_MAX = 64;

const FLOODS: Readonly<Record<string, { readonly packet: () => Buffer; readonly answered: boolean }>> = {
  operations: {
    packet: () => publication("sallyport/1/gw-1/down/operation", labMessage({ v: 1, id: randomUUID(), operation: "status" })),
    answered: true,
  },
  "malformed operations": {
    packet: () => publication("sallyport/1/gw-1/down/operation", labMessage({ v: 9, filler: "x".repeat(8000) })),
    answered: true,
  },
  hints: {
    packet: () => publication("sallyport/1/gw-1/down/policy", labMessage({ kind: "repository.changed" })),
    answered: false,
  },
  "wrong messages": {
    packet: () => publication("sallyport/1/gw-1/down/update", labMessage({ kind: randomUUID(), filler: "x".repeat(8000) })),
    answered: false,
  },
};

test("[TUN-7] after floods of hub messages the heap is back at its level", { skip: needs("openssl") }, async (t) => {
  setFlagsFromString("--expose-gc");
  const pki = makePki(await temporaryDirectory(t));
  const seen = { answers: 0, pongs: 0 };
  const peers: TLSSocket[] = [];
  const peer = await startMqttPeer(t, pki, (packet: Packet, socket) => {
    if (packet.type === 1) socket.write(connack());
    if (packet.type === 8) socket.write(suback(packet));
    if (packet.type !== 3) return;
    socket.write(puback(packet));
    if (topicOf(packet).endsWith("/status")) peers.push(socket);
    if (topicOf(packet).endsWith("/result")) seen.answers += 1;
  });
  const { operations, entries } = watchedOperations();
  const session = await openLabHubSession(t, {
    pki,
    port: peer.port,
    operations,
    notes: [],
    lines: [],
    clock: realClock,
  });
  await session.connect();
  const hub = await eventually("the birth", async () => peers[0]);

  const settled = async (): Promise<{ readonly bytes: number; readonly faults: number }> => {
    for (let round = 0; round < 4; round += 1) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      runInNewContext("gc()"); // the flag gives gc to new contexts only; they share the heap
    }
    const faults = v.parse(v.number(), queryObjects(Fault, { format: "count" }));
    return { bytes: getHeapStatistics().used_heap_size, faults };
  };
  /** Each wave ends with an operation, whose answer says that the wave was taken. */
  const flood = async (packet: () => Buffer, answered: boolean, waves: number): Promise<void> => {
    for (let wave = 0; wave < waves; wave += 1) {
      const wanted = seen.answers + (answered ? WAVE : 1);
      const packets = Array.from({ length: answered ? WAVE : WAVE - 1 }, packet);
      if (!answered)
        packets.push(publication("sallyport/1/gw-1/down/operation", labMessage({ v: 1, id: randomUUID(), operation: "status" })));
      hub.write(Buffer.concat(packets));
      await eventually("the answers of a wave", async () => (seen.answers >= wanted ? true : undefined));
    }
  };

  for (const [what, { packet, answered }] of Object.entries(FLOODS)) {
    await flood(packet, answered, 2); // code is compiled and caches fill up to their bounds
    const before = await settled();
    await flood(packet, answered, 10);
    const after = await settled();
    const kept = after.bytes - before.bytes;
    t.ok(kept < KEPT_BYTES_MAX, `${what}: ${kept} bytes kept after ${10 * WAVE}`);
    t.ok(after.faults - before.faults < KEPT_FAULTS_MAX, `${what}: ${after.faults - before.faults} faults kept`);
  }
  t.ok(entries.length < 100, "what was carried out is bounded");
});
