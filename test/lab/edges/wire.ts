// The edges of messages: warden verbs, MQTT in and out, the local socket, the console, EST, hub
// time and the installer. The tables are complete by their types: a new verb or channel does not
// compile until it is here.
import { generateKeyPairSync, sign } from "node:crypto";
import { readRequest as readOperation } from "../../../agent/operations/request.ts";
import {
  OPERATION_ANSWER_BYTES_MAX,
  OPERATION_REQUEST_BYTES_MAX,
  operationAnswerSchema,
} from "../../../agent/operations/format.ts";
import { createInbox, type MessageSchema } from "../../../agent/tunnel/inbox.ts";
import {
  auditAnswerSchema,
  type DownChannel,
  downTopic,
  MESSAGE_BYTES_MAX,
  operationMessageSchema,
  hubHintSchema,
  updateHintSchema,
  type UpChannel,
} from "../../../agent/tunnel/format.ts";
import { EMPTY_LINE, readBytes } from "../../../agent/console/line.ts";
import { LINE_BYTES_MAX } from "../../../agent/console/limits.ts";
import { Fault } from "../../../hal/fault.ts";
import { parseJson, REPORT_VALUES_MAX, REQUEST_VALUES_MAX } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { decodeBody } from "../../../hub/api/base64.ts";
import { readRequest as readEnrolment } from "../../../hub/devices/enrol.ts";
import { parseMessage } from "../../../hub/inbox/inbox.ts";
import { HTTP_BODY_BYTES_MAX } from "../../../hub/limits.ts";
import { BOARD_BYTES_MAX, boardDecisionSchema, boardNoticeSchema } from "../../../ota/format/board.ts";
import { HUB_TIME_BYTES_MAX, hubTimeRequestSchema, hubTimeResponseSchema } from "../../../ota/format/time.ts";
import { readEnrolAnswer } from "../../../provisioning/enrollers/est-status.ts";
import { QUOTED_BYTES_MAX, RESPONSE_BYTES_MAX } from "../../../provisioning/enrollers/limits.ts";
import { buildRequest, CERTS_ONLY_COUNT_MAX, encodeCertsOnly } from "../../../provisioning/x509/format/index.ts";
import { INSTALL_LINE_BYTES_MAX } from "../../../warden/install/format.ts";
import { readJobs } from "../../../warden/install/jobs.ts";
import { ORDER_BYTES_MAX, openOrder, orderOfAnswer, parseChallenge } from "../../../warden/orders/format/index.ts";
import { decodeRequest } from "../../../warden/protocol/codec.ts";
import { prepare } from "../../../warden/protocol/dispatch.ts";
import {
  PROTOCOL_LINE_BYTES_MAX,
  wardenAnswerSchema,
  type WardenArgs,
  type WardenVerb,
} from "../../../warden/protocol/format.ts";
import { DEVICE_ID } from "../worlds/lockdown.ts";
import { VERBS } from "../worlds/verbs.ts";
import { base64, hostileDer, mapped } from "./der.ts";
import { type Edge, hostileJson, memberOf, membersOf, padded, text, within } from "./edge.ts";

const BOARD = { macs: ["00:1b:21:3a:4f:58"], serial: "SN-1" };
const NONCE = "5a".repeat(32);
const SHA = "ab".repeat(32);
const UUID = "01234567-89ab-4def-8123-456789abcdef";
const AT = "2027-03-01T12:00:00.000Z";
const SIGNATURE = `${"A".repeat(86)}==`;
const PATHS = Array.from({ length: 16 }, (_, n) => `metadata/${n}.${"r".repeat(230)}.json`);

/** Arguments that every verb accepts, as full as they may be. */
const WARDEN_ARGS: { readonly [V in WardenVerb]: WardenArgs<V> } = {
  hello: { protocol: 1, program: "p".repeat(64) },
  "identity.read": {},
  "birth.record": { protection: "file", keyFingerprint: `sha256:${SHA}` },
  "birth.replace": {
    protection: "tpm",
    keyFingerprint: `sha256:${SHA}`,
    chip: { storage: `000b${SHA}`, endorsement: `000b${SHA}` },
  },
  "key.offer": { protection: "tpm" },
  "audit.append": {
    event: "agent.started",
    result: "ok",
    principal: "p".repeat(128),
    correlation: "c".repeat(64),
    detail: Object.fromEntries(Array.from({ length: 6 }, (_, n) => [`m${n}`, "t".repeat(512)])),
  },
  "audit.read": { from: 0, count: 64 },
  "audit.checkpoint": { oldSize: 0, size: 1 },
  "audit.cosigned": { checkpoint: "c".repeat(8192) },
  "status.read": {},
  "tpm.read": {},
  "time.nonce": {},
  "time.set": { deviceId: DEVICE_ID, nonce: NONCE, time: AT, signature: SIGNATURE },
  "trust.refresh": { absent: PATHS },
  "lockdown.read": {},
  "lockdown.preview": { policy: Buffer.alloc(32_768, 32).toString("base64") },
  "lockdown.enforced": { of: "before-trial" },
  "lockdown.propose": {},
  "order.nonce": { verb: "system.reboot" },
  "order.submit": { verb: "system.reboot", order: "o".repeat(8192) },
  "order.signer": { keyid: SHA },
  "tpm.escrow": {},
  "tpm.escrowed": { note: "n".repeat(8192) },
  "reset.plan": {},
  "update.read": {},
  "update.begin": { target: `os/${"t".repeat(128)}`, absent: PATHS },
  "update.write": { part: "root", from: 0, to: 1 },
  "update.abandon": { code: "chunk.missing", message: "m".repeat(256) },
};

function verbEdge(verb: string, args: object): Edge {
  const bytesMax = PROTOCOL_LINE_BYTES_MAX - 1; // the newline is cut off before
  const rest = { id: 1, verb };
  const places = { ...membersOf(["args", "verb", "id"], { ...rest, args }) };
  for (const name of Object.keys(args)) places[`args.${name}`] = within(memberOf("args", rest), memberOf(name, args));
  return {
    bytesMax,
    boundedBefore: true,
    take: async (line) => {
      try {
        return await prepare(VERBS, decodeRequest(line))();
      } catch (error) {
        // the handlers of the lab report that they were reached
        if (error instanceof Fault && error.message.startsWith("no test asks")) return undefined;
        throw error;
      }
    },
    valid: () => padded(JSON.stringify({ ...rest, args }), bytesMax),
    worst: hostileJson(bytesMax, places),
  };
}

const OPERATION = { v: 1, id: "1", operation: "status", args: {} } as const;

/** What a captured hub can send to an agent. */
const DOWN: { readonly [C in DownChannel]: { readonly schema: MessageSchema; readonly body: object } } = {
  update: { schema: updateHintSchema, body: { kind: "update.start", target: `os/${"t".repeat(128)}` } },
  policy: { schema: hubHintSchema, body: { kind: "repository.changed" } },
  operation: { schema: operationMessageSchema, body: OPERATION },
  audit: { schema: auditAnswerSchema, body: { answer: "cosigned", checkpoint: "c".repeat(8192) } },
};

/** A report as full as its bound allows. */
const READINGS = Array.from({ length: 1000 }, (_, n) => ({
  name: `interface-${n}.received`,
  value: n * 1000,
  note: "n".repeat(180),
}));

/** What a captured device can send to the hub. */
const UP: { readonly [C in UpChannel]: object } = {
  status: { state: "online", program: "p".repeat(64) },
  telemetry: { kind: "vitals", readings: READINGS },
  event: { kind: "lockdown.pending", readings: READINGS },
  audit: {
    oldSize: 0,
    checkpoint: "c".repeat(8192),
    proof: Array.from({ length: 63 }, () => Buffer.alloc(32).toString("base64")),
    records: Array.from({ length: 44 }, () => Buffer.alloc(4096).toString("base64")),
  },
  update: { kind: "update", readings: READINGS },
  result: { kind: "operation", answer: { v: 1, id: "1", result: { readings: READINGS } } },
};

function messageEdge(body: object, take: Edge["take"]): Edge {
  const rest = { v: 1, id: UUID, at: AT };
  const places = { ...membersOf(["body", "id", "at"], { ...rest, body }) };
  for (const name of Object.keys(body)) places[`body.${name}`] = within(memberOf("body", rest), memberOf(name, body));
  return {
    bytesMax: MESSAGE_BYTES_MAX,
    take,
    valid: () => padded(JSON.stringify({ ...rest, body }), MESSAGE_BYTES_MAX),
    worst: hostileJson(MESSAGE_BYTES_MAX, places),
  };
}

/** An inbox reports instead of throwing; here its report is thrown. */
function throughInbox(channel: DownChannel, schema: MessageSchema, payload: Uint8Array): void {
  const refused: Fault[] = [];
  const inbox = createInbox(DEVICE_ID, (_channel, fault) => void refused.push(fault));
  inbox.on(channel, schema, () => undefined);
  inbox.take(downTopic(DEVICE_ID, channel), payload);
  const [fault] = refused;
  if (fault !== undefined) throw fault;
}

function jsonEdge(bytesMax: number, valid: object, take: Edge["take"]): Edge {
  return {
    bytesMax,
    take,
    valid: () => padded(JSON.stringify(valid), bytesMax),
    worst: hostileJson(bytesMax, membersOf(Object.keys(valid), valid)),
  };
}

/** One line that is typed at the console, and then read by what the screen asked for. */
function consoleLine(input: Uint8Array): string {
  const { events } = readBytes(EMPTY_LINE, Buffer.concat([input, Buffer.from("\r")]));
  const line = events.find((event) => event.kind === "line" || event.kind === "too-long");
  if (line?.kind !== "line") throw new Fault("serial.overrun", "the line is too long");
  return line.text;
}

const operator = generateKeyPairSync("ed25519");
const CHALLENGE = { verb: "console.login", deviceId: DEVICE_ID, nonce: NONCE } as const;
const ORDER = {
  payloadType: "application/vnd.sallyport.order+json",
  payload: Buffer.alloc(5000, 32).toString("base64"),
  signatures: [{ keyid: SHA, sig: Buffer.alloc(64).toString("base64") }],
};

function manyValues(): Uint8Array {
  const pairs = Array.from({ length: 75 }, () => Buffer.from([0x30, 11, 0x04, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
  const content = Buffer.concat(pairs);
  return Buffer.concat([Buffer.from([0x30, 0x82, content.byteLength >> 8, content.byteLength & 255]), content]);
}

async function enrolmentRequest(): Promise<Uint8Array> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const uris = Array.from({ length: 16 }, (_, n) => `urn:dev:mac:${n.toString(16).padStart(16, "0")}`);
  return await buildRequest(
    {
      commonName: DEVICE_ID,
      serialNumber: "SN-1",
      uris,
      publicKey: publicKey.export({ format: "der", type: "spki" }),
      auditKey: undefined,
      protection: "tpm",
    },
    async (bytes) => sign("sha256", bytes, privateKey),
  );
}

type Edges = Map<string, Edge>;

export async function wireEdges(): Promise<ReadonlyMap<string, Edge>> {
  const edges: Edges = new Map();
  addMessages(edges);
  addLocal(edges);
  addPeople(edges);
  await addHub(edges);
  return edges;
}

/** The verbs of the warden, and the channels of MQTT. */
function addMessages(edges: Edges): void {
  for (const [verb, args] of Object.entries(WARDEN_ARGS)) edges.set(`warden verb ${verb}`, verbEdge(verb, args));
  for (const [channel, { schema, body }] of entriesOf(DOWN))
    edges.set(
      `MQTT down/${channel}`,
      messageEdge(body, (payload) => throughInbox(channel, schema, payload)),
    );
  for (const [channel, body] of entriesOf(UP))
    edges.set(
      `MQTT up/${channel}`,
      messageEdge(body, (payload) => parseMessage(channel, payload)),
    );
}

/** What the programs of a device say to one another. */
function addLocal(edges: Edges): void {
  const line = PROTOCOL_LINE_BYTES_MAX - 1;
  edges.set(
    "answer of the warden",
    jsonEdge(line, { id: 1, result: { readings: READINGS.slice(0, 250) } }, (bytes) =>
      check(wardenAnswerSchema, parseJson(bytes, line, "answer"), "answer", "protocol.invalid"),
    ),
  );
  edges.set(
    "request at the local socket",
    jsonEdge(OPERATION_REQUEST_BYTES_MAX, { ...OPERATION, args: { text: "t".repeat(60_000) } }, (bytes) => {
      const request = readOperation(parseJson(bytes, OPERATION_REQUEST_BYTES_MAX, "request", { valuesMax: REQUEST_VALUES_MAX }));
      if (request instanceof Fault) throw request;
      return request;
    }),
  );
  edges.set(
    "answer at the local socket",
    jsonEdge(OPERATION_ANSWER_BYTES_MAX, { v: 1, id: "1", result: { readings: READINGS } }, (bytes) =>
      check(
        operationAnswerSchema,
        parseJson(bytes, OPERATION_ANSWER_BYTES_MAX, "answer", { valuesMax: REPORT_VALUES_MAX }),
        "answer",
        "protocol.invalid",
      ),
    ),
  );
  const part = { part: "root", bytes: 1, index: { path: "p".repeat(256), bytes: 1, sha256: SHA } };
  edges.set(
    "job of the installer",
    jsonEdge(
      INSTALL_LINE_BYTES_MAX - 1,
      { do: "install", v: 1, slot: "a", parts: [part] },
      async (bytes) => await readJobs(chunks(bytes)).next(),
    ),
  );
}

/** What people type or hand over. */
function addPeople(edges: Edges): void {
  edges.set("line at the console", {
    bytesMax: 4096,
    boundedBefore: true,
    take: consoleLine,
    valid: text("status\r", 4096),
    worst: new Map([
      ["one line", text("a", 4096)],
      ["controls", text("\u0015\u001b[\u0007", 4096)],
      ["bytes beyond ASCII", () => Buffer.alloc(4096, 255)],
    ]),
  });
  edges.set("challenge answer", {
    bytesMax: LINE_BYTES_MAX,
    boundedBefore: true,
    take: (bytes) => orderOfAnswer(CHALLENGE, consoleLine(bytes)),
    valid: () => Buffer.from(`${SHA}.1900000000.${"A".repeat(86)}`),
    worst: new Map([
      ["digits", text("1", LINE_BYTES_MAX)],
      ["dots", text(".", LINE_BYTES_MAX)],
      ["hex digits and dots", text(`${SHA}.`, LINE_BYTES_MAX)],
    ]),
  });
  edges.set("challenge", {
    bytesMax: 4096,
    boundedBefore: true,
    take: (bytes) => parseChallenge(Buffer.from(bytes).toString()),
    valid: () => Buffer.from(`sp1/console.login/${DEVICE_ID}/${NONCE}`),
    worst: new Map([
      ["slashes", text("/", 4096)],
      ["a challenge over and over", text(`sp1/console.login/${DEVICE_ID}/`, 4096)],
      ["letters", text("a", 4096)],
    ]),
  });
  edges.set(
    "order",
    jsonEdge(ORDER_BYTES_MAX, ORDER, (bytes) => {
      try {
        return openOrder(bytes, new Map([[SHA, operator.publicKey]]));
      } catch (error) {
        // its form is accepted
        if (error instanceof Fault && error.code === "order.bad-signature") return undefined;
        throw error;
      }
    }),
  );
}

/** EST and hub time, on both sides. */
async function addHub(edges: Edges): Promise<void> {
  const request = await enrolmentRequest();
  edges.set("EST request", {
    bytesMax: HTTP_BODY_BYTES_MAX,
    boundedBefore: true,
    take: (bytes) => readEnrolment(decodeBody(bytes)),
    valid: () => base64(request),
    worst: new Map([
      ...mapped(hostileDer(8192), base64),
      ...[...mapped(hostileDer(Math.floor(HTTP_BODY_BYTES_MAX / 4) * 3), base64)].map(
        ([name, make]) => [`${name}, beyond a request`, make] as const,
      ),
      ["text", text("a", HTTP_BODY_BYTES_MAX)],
      ["white space", text(" \n", HTTP_BODY_BYTES_MAX)],
      ["armour", text("-----BEGIN A-----", HTTP_BODY_BYTES_MAX)],
    ]),
  });
  edges.set("EST answer", {
    bytesMax: RESPONSE_BYTES_MAX,
    boundedBefore: true,
    take: (body) => readEnrolAnswer({ status: 200, headers: {}, body }),
    // any sequence is taken for a certificate here, because it proves itself later; a real one has
    // 150 values
    valid: () => base64(encodeCertsOnly(Array.from({ length: CERTS_ONLY_COUNT_MAX }, () => manyValues()))),
    worst: new Map([
      ...hostileDer(65_536),
      ...[...mapped(hostileDer(65_535), base64)].map(([name, make]) => [`${name}, as text`, make] as const),
      ["text", text("a", RESPONSE_BYTES_MAX)],
      ["white space", text(" \n", RESPONSE_BYTES_MAX)],
      ["armour", text("-----BEGIN A-----", RESPONSE_BYTES_MAX)],
      ["many small certificates", text("-----BEGIN A-----MAA=-----END A-----\n", RESPONSE_BYTES_MAX)],
      ["armour without an end", text(`-----BEGIN ${"A".repeat(1000)}`, RESPONSE_BYTES_MAX)],
    ]),
  });
  edges.set("EST refusal", {
    bytesMax: RESPONSE_BYTES_MAX,
    boundedBefore: true,
    quotedMax: QUOTED_BYTES_MAX,
    take: (body) => readEnrolAnswer({ status: body[0] === 0x20 ? 202 : 500, headers: {}, body }),
    valid: text(" ", RESPONSE_BYTES_MAX),
    worst: new Map([
      ["text", text("a", RESPONSE_BYTES_MAX)],
      ["controls", text("\u0001\u001b[2J", RESPONSE_BYTES_MAX)],
      ["not UTF-8", () => Buffer.alloc(RESPONSE_BYTES_MAX, 255)],
    ]),
  });
  edges.set(
    "notice of a board, request",
    jsonEdge(BOARD_BYTES_MAX, { v: 1, deviceId: DEVICE_ID, born: BOARD, found: BOARD }, (bytes) =>
      check(boardNoticeSchema, parseJson(bytes, BOARD_BYTES_MAX, "notice"), "notice"),
    ),
  );
  edges.set(
    "notice of a board, answer",
    jsonEdge(BOARD_BYTES_MAX, { decision: "wait" }, (bytes) =>
      check(boardDecisionSchema, parseJson(bytes, BOARD_BYTES_MAX, "answer"), "answer", "enrol.bad-response"),
    ),
  );
  edges.set(
    "hub time, request",
    jsonEdge(HUB_TIME_BYTES_MAX, { deviceId: DEVICE_ID, nonce: NONCE }, (bytes) =>
      check(hubTimeRequestSchema, parseJson(bytes, HUB_TIME_BYTES_MAX, "time request"), "time request"),
    ),
  );
  edges.set(
    "hub time, answer",
    jsonEdge(HUB_TIME_BYTES_MAX, { deviceId: DEVICE_ID, nonce: NONCE, time: AT, signature: SIGNATURE }, (bytes) =>
      check(hubTimeResponseSchema, parseJson(bytes, HUB_TIME_BYTES_MAX, "answer"), "answer", "enrol.bad-response"),
    ),
  );
}

async function* chunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
  yield Buffer.from("\n");
}

function entriesOf<K extends string, T>(table: { readonly [C in K]: T }): readonly (readonly [K, T])[] {
  return keysOf(table).map((key) => [key, table[key]] as const);
}

function keysOf<K extends string>(table: Readonly<Record<K, unknown>>): readonly K[] {
  const isKey = (name: string): name is K => Object.hasOwn(table, name);
  return Object.keys(table).filter((name) => isKey(name));
}
