// A hub, or an attacker in control of it, asks for operations without end. Nothing
// is dropped in silence: each request has an answer, or the connection ends.
import { randomUUID } from "node:crypto";
import { test } from "tap";
import * as v from "valibot";
import { ANSWERS_PENDING_MAX } from "../../agent/tunnel/limits.ts";
import { operationResultSchema, reportMessageSchema } from "../../agent/tunnel/format.ts";
import type { OperationAnswer } from "../../agent/operations/format.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import { connack, type Packet, puback, publication, startMqttPeer, suback, topicOf } from "../lab/counterparts/mqtt-peer.ts";
import { startMosquitto } from "../lab/counterparts/mosquitto.ts";
import { issue, makePki } from "../lab/counterparts/pki.ts";
import { durableSubscriber, type Subscriber } from "../lab/counterparts/subscriber.ts";
import { fakeAppendFiles } from "../lab/fakes/files.ts";
import type { TestContext } from "../lab/runner/context.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { labMessage } from "../lab/worlds/hub.ts";
import { openLabHubSession } from "../lab/worlds/hub-session.ts";
import { HANDLERS, watchedOperations } from "../lab/worlds/operations.ts";
import { realClock } from "../lab/worlds/tunnel.ts";

const TOPIC = "sallyport/1/gw-1/down/operation";
const skip = needs("mosquitto", "openssl");

function statusRequest(id: string): object {
  return { v: 1, id, operation: "status", args: {} };
}

interface Flooded {
  readonly hub: Subscriber;
  readonly performed: readonly AuditEntry[];
  readonly notes: readonly AuditEntry[];
  readonly answers: () => readonly OperationAnswer[];
  readonly spooledWrites: () => number;
}

/**
 * A device behind a real Mosquitto, and the hub's side of it. Its operations end when `gate` does.
 */
async function open(t: TestContext, gate: Promise<void> = Promise.resolve()): Promise<Flooded> {
  const directory = await temporaryDirectory(t);
  const pki = makePki(directory);
  const lab = issue(directory, "lab", pki.authority, { commonName: "lab", names: [], usages: ["clientAuth"] });
  const broker = await startMosquitto(t, {
    authority: pki.authority,
    server: pki.server,
    extra: ["max_inflight_messages 0", "max_queued_messages 0"],
  });
  const hub = await durableSubscriber(t, {
    port: broker.port,
    authority: pki.authority,
    credential: lab,
    protocolVersion: 5,
  });
  const { operations, entries: performed } = watchedOperations({
    ...HANDLERS,
    status: async (args, context) => {
      await gate;
      return HANDLERS.status(args, context);
    },
  });
  const files = fakeAppendFiles();
  let writes = 0;
  const spoolFiles = {
    ...files,
    write: (...[name, at, bytes, reserve]: Parameters<typeof files.write>) => {
      if (Buffer.from(bytes).includes('"kind":"operation"')) writes += 1;
      return files.write(name, at, bytes, reserve);
    },
  };
  const notes: AuditEntry[] = [];
  const session = await openLabHubSession(t, {
    pki,
    port: broker.port,
    operations,
    notes,
    lines: [],
    clock: realClock,
    spoolFiles,
  });
  await session.connect();
  await eventually("the birth", async () => (hub.received.some(({ topic }) => topic.endsWith("/status")) ? true : undefined));
  const answers = (): readonly OperationAnswer[] =>
    hub.received
      .filter(({ topic }) => topic.endsWith("/result"))
      .map(({ payload }) => v.parse(operationResultSchema, v.parse(reportMessageSchema, JSON.parse(payload)).body).answer);
  return { hub, performed, notes, answers, spooledWrites: () => writes };
}

function isRefused(answer: OperationAnswer): boolean {
  return "fault" in answer && answer.fault.code === "operation.rate-limited";
}

test("[OPS-6] 100 operations at once: 30 are carried out, 70 are refused, and every one is answered", { skip }, async (t) => {
  const gate = Promise.withResolvers<void>();
  const { hub, performed, notes, answers, spooledWrites } = await open(t, gate.promise);
  const ids = Array.from({ length: 100 }, (_, count) => `q-${count}`);
  await Promise.all(ids.map((id) => hub.client.publishAsync(TOPIC, labMessage(statusRequest(id)), { qos: 1 })));
  await eventually("the refusals, while the 30 are in progress", async () =>
    answers().filter((each) => isRefused(each)).length === 70 ? true : undefined,
  );
  t.equal(performed.length, 0, "none of the 30 has ended yet, and none was refused for being one of many");
  t.equal(spooledWrites(), 0, "a refusal writes nothing to the flash");
  gate.resolve();
  await eventually("an answer to every one", async () => (answers().length >= 100 ? true : undefined));
  t.strictSame(new Set(answers().map(({ id }) => id)), new Set(ids));
  t.equal(answers().filter((answer) => "result" in answer).length, 30);
  t.equal(performed.length, 30, "each with its record");
  t.equal(notes.filter(({ detail }) => detail?.["code"] === "operation.rate-limited").length, 1, "one record of the flood");
});

test("[OPS-23] a repeated message is answered from memory, and is not carried out twice", { skip }, async (t) => {
  const { hub, performed, answers, spooledWrites } = await open(t);
  const repeated = labMessage(statusRequest("once"));
  const publish = (text: string): Promise<unknown> => hub.client.publishAsync(TOPIC, text, { qos: 1 });
  await publish(repeated);
  await eventually("the answer", async () => (answers().length === 1 ? true : undefined));
  t.equal(spooledWrites(), 1, "it went through the spool");
  for (let count = 0; count < 40; count += 1) await publish(repeated);
  await eventually("an answer to each repetition", async () => (answers().length === 41 ? true : undefined));
  t.equal(performed.length, 1);
  t.equal(spooledWrites(), 1, "repetitions write nothing to the flash");
  for (const answer of answers()) t.match(answer, { id: "once", result: Object });
});

test("[OPS-23] a malformed request in an envelope is answered with a fault", { skip }, async (t) => {
  const { hub, answers } = await open(t);
  for (const body of [{ v: 2, id: "a", operation: "status" }, { v: 1, id: "b", operation: 7 }, [], null])
    await hub.client.publishAsync(TOPIC, labMessage(body), { qos: 1 });
  await eventually("four answers", async () => (answers().length === 4 ? true : undefined));
  t.strictSame(
    answers().map((answer) => [answer.id, "fault" in answer ? answer.fault.code : "result"]),
    [
      ["a", "operation.invalid"],
      ["b", "operation.invalid"],
      ["", "operation.invalid"],
      ["", "operation.invalid"],
    ],
  );
});

test("[OPS-23] a request in a wrong envelope is answered if its id can be read", { skip }, async (t) => {
  const { hub, performed, answers } = await open(t);
  const [id, at] = [randomUUID(), new Date().toISOString()];
  const body = (name: string): object => statusRequest(name);
  const wrong: readonly unknown[] = [
    { v: 2, id, at, body: body("another-version") },
    { v: 1, id: "no UUID", at, body: body("no-message-id") },
    { v: 1, id, body: body("no-time") },
    { v: 1, id, at, body: body("one-member-more"), more: 1 },
    { body: { id: "only-an-id" } },
  ];
  const unreadable: readonly unknown[] = [{ v: 2, id, at, body: { id: 7 } }, { v: 2, id, at }, [], null, "text", { body: null }];
  for (const each of [...unreadable, ...wrong]) await hub.client.publishAsync(TOPIC, JSON.stringify(each), { qos: 1 });
  await hub.client.publishAsync(TOPIC, '{"v":1,"body":{"id":"no-json"}', { qos: 1 });
  await hub.client.publishAsync(TOPIC, labMessage(statusRequest("last")), { qos: 1 });
  await eventually("the last answer", async () => (answers().some((answer) => answer.id === "last") ? true : undefined));
  const expected = ["another-version", "no-message-id", "no-time", "one-member-more", "only-an-id"];
  t.strictSame(
    answers().map((answer) => [answer.id, "fault" in answer ? answer.fault.code : "result"]),
    [...expected.map((each) => [each, "operation.invalid"]), ["last", "result"]],
  );
  t.equal(performed.length, 1, "only the valid one was carried out");
});

test(
  "[OPS-23] [TUN-7] a hub that asks and does not take the answers loses its connection, and the next one gets them",
  { skip: needs("openssl") },
  async (t) => {
    const pki = makePki(await temporaryDirectory(t));
    const results: string[] = [];
    let connections = 0;
    let births = 0;
    const peer = await startMqttPeer(t, pki, (packet: Packet, socket) => {
      if (packet.type === 1) {
        connections += 1;
        socket.write(connack());
      }
      if (packet.type === 8) socket.write(suback(packet));
      if (packet.type !== 3) return;
      const isResult = topicOf(packet).endsWith("/result");
      if (isResult && connections === 1) return; // the first connection acknowledges no answer
      socket.write(puback(packet));
      if (isResult) results.push(packet.body.toString());
      if (!topicOf(packet).endsWith("/status")) return;
      births += 1;
      if (births > 1) return;
      const flood = Array.from({ length: ANSWERS_PENDING_MAX + 64 }, (_, count) =>
        publication(TOPIC, labMessage(statusRequest(`q-${count}`))),
      );
      socket.write(Buffer.concat(flood));
    });
    const { operations } = watchedOperations();
    const lines: string[] = [];
    const session = await openLabHubSession(t, { pki, port: peer.port, operations, notes: [], lines, clock: realClock });
    await session.connect();
    await eventually("another connection", async () => (connections > 1 ? true : undefined));
    t.ok(
      lines.some((line) => line.includes("asks faster than it takes them")),
      "the journal says why the connection ended",
    );
    await eventually("the answers that waited", async () => (results.length >= ANSWERS_PENDING_MAX ? true : undefined));
    t.ok(results.some((result) => result.includes("operation.rate-limited")));
  },
);
