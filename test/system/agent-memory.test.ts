// Memory of the real agent process, started as its unit starts it, while a captured hub floods it
// with operations and messages.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { test, type Test } from "tap";
import { connack, type Packet, puback, publication, startMqttPeer, suback, topicOf } from "../lab/counterparts/mqtt-peer.ts";
import type { Credential } from "../lab/counterparts/pki.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";
import { GROWTH_BYTES_MAX, grownBytes, levelsText, residentBytes, WAVES } from "../lab/runner/resident.ts";
import { labMessage } from "../lab/worlds/hub.ts";
import { buildRig } from "../lab/worlds/rig.ts";

/** Items of which 4 KiB each were kept would make 8 MiB a wave. */
const WAVE = 2_000;
/** Fewer than the answers that the agent keeps for a hub that does not take them. */
const AT_ONCE = 500;
function credential(state: string, cert: string, key: string): Credential {
  const [certFile, keyFile] = [join(state, cert), join(state, key)];
  return { certFile, keyFile, cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
}

/** The agent of a board that is enrolled at a real hub, and connected to one that is captured. */
async function flooded(t: Test) {
  const rig = await buildRig();
  t.teardown(() => rig.stop());
  await rig.startHub();
  const { state } = rig.hub;
  const pki = {
    server: credential(state, "server.pem", "server.key"),
    authority: credential(state, "authority.pem", "authority.key"),
  };
  const answers = { count: 0 };
  const born: TLSSocket[] = [];
  const peer = await startMqttPeer(t, pki, (packet: Packet, socket) => {
    if (packet.type === 1) socket.write(connack());
    if (packet.type === 8) socket.write(suback(packet));
    if (packet.type === 12) socket.write(Buffer.from([0xd0, 0]));
    if (packet.type !== 3) return;
    socket.write(puback(packet));
    if (topicOf(packet).endsWith("/status")) born.push(socket);
    if (topicOf(packet).endsWith("/result")) answers.count += 1;
  });
  await rig.configure({ agentConfig: { tunnel: { connectTo: { host: "127.0.0.1", port: peer.port } } } });
  await rig.startWarden();
  const agent = await rig.startAgent();
  const { id } = await rig.hub.approve();
  const socket = await eventually("the birth message", async () => born.at(-1));
  return {
    agent,
    /** Sends `items`, and waits for so many answers. */
    play: async (items: readonly (readonly [channel: string, payload: string])[], answered: number): Promise<void> => {
      const wanted = answers.count + answered;
      socket.write(Buffer.concat(items.map(([channel, payload]) => publication(`sallyport/1/${id}/down/${channel}`, payload))));
      await eventually("the answers", async () => (answers.count >= wanted ? true : undefined));
    },
  };
}

function operation(): readonly [string, string] {
  return ["operation", labMessage({ v: 1, id: randomUUID(), operation: "status" })];
}

const FLOODS: Readonly<Record<string, { readonly item: (n: number) => readonly [string, string]; readonly answered: boolean }>> =
  {
    operations: {
      item: (n) => (n % 2 === 0 ? operation() : ["operation", labMessage({ v: 9, filler: "x".repeat(2_000) })]),
      answered: true,
    },
    messages: {
      item: (n) =>
        n % 2 === 0
          ? ["policy", labMessage({ kind: "repository.changed" })]
          : ["update", labMessage({ kind: randomUUID(), filler: "x".repeat(2_000) })],
      answered: false,
    },
  };

for (const [what, { item, answered }] of Object.entries(FLOODS))
  test(`[TUN-7] the agent process returns to its level after floods of ${what}`, { skip: needs("bundles") }, async (t) => {
    const { agent, play } = await flooded(t);
    const levels: number[] = [];
    for (let wave = 0; wave < WAVES; wave += 1) {
      for (let sent = 0; sent < WAVE; sent += AT_ONCE) {
        const items = Array.from({ length: AT_ONCE }, (_, n) => item(n));
        await (answered ? play(items, AT_ONCE) : play([...items, operation()], 1));
      }
      levels.push(residentBytes(agent.pid));
    }
    t.ok(grownBytes(levels) < GROWTH_BYTES_MAX, levelsText(levels));
    t.comment(levelsText(levels));
  });
