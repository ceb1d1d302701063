// Memory of the real hub process after floods: each wave is as large as the one that filled caches
// and allocators, so what grows from wave to wave is kept.
import { Agent, request } from "node:https";
import { join } from "node:path";
import { test, type Test } from "tap";
import * as v from "valibot";
import { hubAnchorsSchema, type HubAnchors } from "../../ota/format/anchors.ts";
import { needs } from "../lab/runner/needs.ts";
import { startProgram } from "../lab/runner/process.ts";
import { programFile } from "../lab/runner/programs.ts";
import { GROWTH_BYTES_MAX, grownBytes, levelsText, residentBytes, SMALL_HEAP, WAVES } from "../lab/runner/resident.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { certificateIn, connect, EST, labDevice, type LabDevice, labLog, labMessage, simpleEnrol } from "../lab/worlds/hub.ts";

const MAIN = programFile("sallyport-hub");
/** Requests of which 4 KiB each were kept would make 3.5 MiB a wave, 21 MiB in what is compared. */
const WAVE = 900;
const readySchema = v.object({ event: v.literal("ready"), anchors: hubAnchorsSchema, estPort: v.number(), mqttPort: v.number() });

/**
 * Most are genuine. They are the same in every wave, because pending requests are kept, and each
 * comes less often than the pace of its key allows. [TUN-25]
 */
async function requests(): Promise<readonly Buffer[]> {
  const bodies = Array.from({ length: 30 }, (_, n) => Buffer.alloc(8000, 65 + (n % 26)));
  for (let n = 0; n < 120; n += 1) {
    const { csr } = await labDevice(`gw-${n}`);
    bodies.push(Buffer.from(Buffer.from(csr).toString("base64")));
  }
  return bodies;
}

/** A wave of enrolment requests from an address of its own, whose pace nobody else has used. */
async function wave(t: Test, anchors: HubAnchors, from: string, bodies: readonly Buffer[]): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  t.teardown(() => agent.destroy());
  const send = async (body: Buffer) =>
    new Promise<number>((resolve, reject) => {
      const outgoing = request({
        host: "127.0.0.1",
        servername: "localhost",
        port: anchors.estPort,
        localAddress: from,
        agent,
        ca: anchors.authority,
        path: `${EST}/simpleenroll`,
        method: "POST",
        headers: { "content-type": "application/pkcs10" },
      });
      outgoing.on("error", reject);
      outgoing.on("response", (response) => response.resume().on("end", () => resolve(response.statusCode ?? 0)));
      outgoing.end(body);
    });
  const codes = await Promise.all(
    Array.from({ length: WAVE }, async (_, at) => send(bodies[at % bodies.length] ?? Buffer.alloc(0))),
  );
  agent.destroy();
  return codes.filter((code) => code === 202 || code === 400).length;
}

/** A hub in a process of its own, with a small heap. */
async function hubProcess(t: Test) {
  const state = join(await temporaryDirectory(t), "hub");
  const program = (...args: readonly string[]) =>
    startProgram({
      name: "hub",
      command: process.execPath,
      args: ["--max-semi-space-size=4", SMALL_HEAP, MAIN, ...args, "--state", state],
    });
  await program("init", "--name", "Plant 7", "--host", "localhost").ended;
  const serving = program("serve", "--listen", "127.0.0.1", "--est-port", "0", "--mqtt-port", "0", "--json");
  t.teardown(async () => serving.stop());
  const ready = v.parse(readySchema, JSON.parse(await serving.line(/"ready"/u)));
  return { program, serving, ...ready };
}

test(
  "[TUN-7] [ID-7] the hub process returns to its level after floods of enrolment requests",
  { skip: needs("bundles") },
  async (t) => {
    const { serving, anchors } = await hubProcess(t);
    const bodies = await requests();
    const levels: number[] = [];
    for (let n = 0; n < WAVES; n += 1) {
      t.equal(await wave(t, anchors, `127.0.0.${60 + n}`, bodies), WAVE, "every request was answered");
      levels.push(residentBytes(serving.pid));
    }
    t.ok(grownBytes(levels) < GROWTH_BYTES_MAX, levelsText(levels));
    t.comment(levelsText(levels));
  },
);

/** Each device may send so many messages at once that all waves fit into its pace. */
const DEVICES = 4;
/** Messages of which 4 KiB each were kept would make 3.1 MiB a wave, 19 MiB in what is compared. */
const MESSAGES_WAVE = 800;

/** What a captured device sends, by what is flooded: half of it is wrong. */
const FLOODS: Readonly<Record<string, (device: LabDevice) => (n: number) => readonly [channel: string, body: unknown]>> = {
  "answers to operations": () => (n) => [
    "result",
    n % 2 === 0
      ? { kind: "operation", answer: { v: 1, id: `q-${n}`, result: { filler: "x".repeat(300) } } }
      : { kind: "operation", answer: { v: 9, filler: "x".repeat(300) } },
  ],
  "audit deliveries": (device) => {
    const [right, wrong] = [labLog(device, 1), labLog(device, 1, "two")].map((log) => log.delivery(0, 1));
    return (n) => ["audit", n % 2 === 0 ? right : wrong];
  },
};

for (const [what, flood] of Object.entries(FLOODS))
  test(`[TUN-7] [AUD-27] the hub process returns to its level after floods of ${what}`, { skip: needs("bundles") }, async (t) => {
    const { program, serving, anchors, estPort, mqttPort } = await hubProcess(t);
    const hub = { anchors, estPort, mqttPort };
    const senders = [];
    for (let n = 0; n < DEVICES; n += 1) {
      const device = await labDevice(`gw-${n}`);
      await simpleEnrol(hub, device.csr);
      await program("devices", "approve", device.id, device.fingerprint).ended;
      const { client } = await connect(t, hub, device, certificateIn(await simpleEnrol(hub, device.csr)));
      senders.push({ client, device, bodyOf: flood(device) });
    }

    const levels: number[] = [];
    for (let n = 0; n < WAVES; n += 1) {
      const sent = senders.flatMap(({ client, device, bodyOf }) =>
        Array.from({ length: MESSAGES_WAVE / DEVICES }, async (_, at) => {
          const [channel, body] = bodyOf(at);
          return client.publishAsync(`sallyport/1/${device.id}/up/${channel}`, labMessage(body), { qos: 1 });
        }),
      );
      await Promise.all(sent);
      levels.push(residentBytes(serving.pid));
    }
    t.ok(grownBytes(levels) < GROWTH_BYTES_MAX, levelsText(levels));
    t.comment(levelsText(levels));
  });
