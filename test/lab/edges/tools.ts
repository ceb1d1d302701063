// The edges of the command lines: what people type, and the files that they hand to `sallyport`,
// `sallyport-hub` and `sallyport-release`. [STA-32] [STA-33]
import { generateKeyPairSync } from "node:crypto";
import { readAnswerLine } from "../../../agent/cli/answer-line.ts";
import { runCommand } from "../../../agent/cli/run.ts";
import { run as runRelease } from "../../../build/release/cli.ts";
import { draftOf, targetsDraft } from "../../../build/release/drafts.ts";
import { readSigner } from "../../../build/release/keys.ts";
import { layoutOf } from "../../../build/release/layout.ts";
import { KEY_BYTES_MAX, METADATA_BYTES_MAX } from "../../../build/release/limits.ts";
import { checkPayload } from "../../../build/release/payload.ts";
import { stagedEntries } from "../../../build/release/staged.ts";
import { Fault, FAULT_MESSAGE_BYTES_MAX } from "../../../hal/fault.ts";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import { operationArgs } from "../../../hub/cli/ask.ts";
import { readOrder } from "../../../hub/cli/answer-text.ts";
import { run as runHub } from "../../../hub/cli/index.ts";
import { digestOf, fingerprintOf, typed } from "../../../hub/cli/state.ts";
import { readKey } from "../../../hub/orders/index.ts";
import { timestampOf } from "../../../hub/repository/check.ts";
import { planHash, POLICY_BYTES_MAX } from "../../../warden/lockdown/format/index.ts";
import { KEPT, LOST, type ResetPlan, resetPlanHash } from "../../../warden/reset/format.ts";
import { planLockdown } from "../../../warden/lockdown/plan/index.ts";
import { installerPlaces } from "../../../warden/install/command.ts";
import { challengeText, ORDER_BYTES_MAX, orderOfAnswer, readOrderUnverified } from "../../../warden/orders/format/index.ts";
import { ORDER_REQUEST_BYTES_MAX, parseOrderRequest, resolveSubject, signRequest } from "../../../warden/order-subject/format.ts";
import { labRepository } from "../counterparts/repository.ts";
import { DEVICE_ID, labPolicy, labSnapshot, policyBytes } from "../worlds/lockdown.ts";
import { type Edge, hostileJson, jsonEdge, membersIn, padded, text } from "./edge.ts";
import { scratch } from "./scratch.ts";

/** Linux takes no longer argument: MAX_ARG_STRLEN of include/uapi/linux/binfmts.h, with its NUL. */
const ARGUMENT_BYTES_MAX = 131_071;
/** A message, and the usage or the list of commands behind it. */
const PRINTED_BYTES_MAX = FAULT_MESSAGE_BYTES_MAX + 8192;

const NONCE = "5a".repeat(32);
const SHA = "ab".repeat(32);
const CHALLENGE = { verb: "system.reboot", deviceId: DEVICE_ID, nonce: NONCE } as const;
const PLAN = planLockdown(labPolicy(), labSnapshot());
const RESET_PLAN: ResetPlan = {
  v: 1,
  kind: "reset-plan",
  deviceId: DEVICE_ID,
  identity: { protection: "tpm", keyFingerprint: `sha256:${"0a".repeat(32)}` },
  chip: "ours",
  version: "2.4.1",
  lost: [...LOST],
  kept: [...KEPT],
};
const WIPE = { verb: "system.wipe", deviceId: DEVICE_ID, nonce: NONCE, planHash: resetPlanHash(RESET_PLAN) } as const;
const TRIAL = { verb: "lockdown.confirm", deviceId: DEVICE_ID, nonce: NONCE, planHash: planHash(PLAN) } as const;

export function toolEdges(): ReadonlyMap<string, Edge> {
  return new Map([...argumentEdges(), ...typedEdges(), ...orderEdges(), ...keyEdges(), ...releaseEdges()]);
}

/** The arguments of a command, with the hostile one in its place. */
export type Command = (argument: string) => readonly string[];

/** The first character of an input says in which place the rest of it is typed. */
export function argumentEdge(
  valid: Command,
  places: Readonly<Record<string, Command>>,
  run: (argv: readonly string[]) => unknown,
): Edge {
  const commands = [valid, ...Object.values(places)];
  const at = (place: number, fill: string) => () =>
    Buffer.concat([Buffer.from(place.toString(36)), text(fill, ARGUMENT_BYTES_MAX - 1)()]);
  const worst = Object.keys(places).flatMap((place, index) =>
    ["a", "-", "\u001b[2J", "9", "{", "a=", "sp1/"].map(
      (fill) => [`${place}: ${JSON.stringify(fill)}`, at(index + 1, fill)] as const,
    ),
  );
  return {
    bytesMax: ARGUMENT_BYTES_MAX,
    boundedBefore: true,
    take: async (bytes) => {
      const typedText = Buffer.from(bytes).toString();
      return await run(commands[Number.parseInt(typedText.slice(0, 1), 36)]?.(typedText.slice(1)) ?? []);
    },
    valid: at(0, "a"),
    worst: new Map(worst),
  };
}

/** What a command prints when it refuses has the bound of a message, and its usage. */
export async function refusing(run: (print: (text: string) => void) => Promise<number>): Promise<void> {
  let printed = "";
  const code = await run((line) => (printed += line));
  if (code === 0) return;
  const [, faultCode, message = printed] = /^\S+: ([a-z.-]+): (.*)$/su.exec(printed) ?? [];
  if (Buffer.byteLength(printed) > PRINTED_BYTES_MAX)
    throw new Fault("assert.broken", `the command printed ${Buffer.byteLength(printed)} bytes`);
  throw new Fault(faultCode === "order.unresolved" ? faultCode : "usage.invalid", message);
}

function argumentEdges(): ReadonlyMap<string, Edge> {
  const key = (): string => scratch.write("operator.key", pem());
  const asAgent = async (argv: readonly string[]): Promise<void> =>
    await refusing(async (print) =>
      runCommand(argv, {
        ask: async () => ({ v: 1, id: "cli-1", result: { deviceId: DEVICE_ID, nonce: NONCE } }),
        evidence: () => notThere(),
        file: () => notThere(),
        privateFile: () => notThere(),
        create: () => notThere(),
        line: async () => undefined,
        version: "1",
        id: () => "cli-1",
        out: () => undefined,
        err: print,
      }),
    );
  const asRelease = async (argv: readonly string[]): Promise<void> =>
    await refusing(async (print) =>
      runRelease(argv, { out: () => undefined, err: print, shown: async () => undefined, nowMs: () => Date.now() }),
    );
  const add = (name: string, ...more: readonly string[]): readonly string[] => [
    "add",
    "dir",
    name,
    "file",
    "--hardware",
    "any",
    ...more,
  ];
  return new Map([
    [
      "arguments of sallyport",
      argumentEdge(
        (argument) => ["order", "nonce", "system.reboot", "--socket", argument],
        {
          "the command": (argument) => [argument],
          "an option": (argument) => ["status", `--${argument}`],
          "a count": (argument) => ["audit", "tail", `--count=${argument}`],
          "a verb": (argument) => ["order", "nonce", "--", argument],
          "a challenge": (argument) => ["reboot", `--challenge=${argument}`, "--answer=a"],
          "an answer": (argument) => ["reboot", `--challenge=${challengeText(CHALLENGE)}`, `--answer=${argument}`],
          "a key": (argument) => ["audit", "verify", "dir", `--key=${argument}`],
          "a file of the escrow": (argument) => ["tpm", "passwords", "--key=k", "--", argument],
          "a place for passwords": (argument) => ["tpm", "passwords", "note", `--key=${argument}`, `--out=${argument}`],
          "an epoch": (argument) => ["audit", "verify", "dir", `--key=${argument}+${SHA.slice(0, 8)}+AAAA`, "--epoch=1"],
        },
        asAgent,
      ),
    ],
    [
      "arguments of sallyport-hub",
      argumentEdge(
        () => ["answer", challengeText(CHALLENGE), "--key", key()],
        {
          "the command": (argument) => [argument],
          "a second word": (argument) => ["devices", argument],
          "an option": (argument) => ["anchors", `--${argument}`],
          "a challenge": (argument) => ["answer", "--key", key(), "--", argument],
          "a duration": (argument) => ["answer", challengeText(CHALLENGE), "--key", key(), `--hold=${argument}`],
          "a request": (argument) => ["devices", "replace", DEVICE_ID, `sha256:${SHA}`, `--request=${argument}`],
          "a protection": (argument) => ["devices", "rekey", DEVICE_ID, `--to=${argument}`],
          "a port": (argument) => ["serve", `--est-port=${argument}`],
          "a version": (argument) => ["serve", `--min-tls=${argument}`],
          "a time": (argument) => ["devices", "escrow", "--", argument],
        },
        asHub,
      ),
    ],
    [
      "arguments of sallyport-release",
      argumentEdge(
        (argument) => ["drafts", "--help", argument],
        {
          "the command": (argument) => [argument],
          "an option": (argument) => ["drafts", `--${argument}`],
          "a target": (argument) => ["show", "dir", "--", argument],
          "a target to add": (argument) => ["add", "dir", "--hardware=any", "--audience=everyone", "--", argument, "file"],
          "an audience": (argument) => add("os/x", `--audience=${argument}`),
          "a tenant": (argument) => add("os/x", `--audience=tenant=${argument}`),
          "a line": (argument) => add("os/x", "--audience=everyone", `--line=${argument}`),
          "a counter": (argument) => add("os/x", `--counter=${argument}`),
          "a part": (argument) => ["add", "dir", "os/x", "--hardware=any", `--part=${argument}`],
          "a role": (argument) => ["sign", "dir", `--role=${argument}`],
        },
        asRelease,
      ),
    ],
    [
      "arguments of the installer",
      argumentEdge(
        (argument) => ["--root", "/", "--slots", argument, "--handover", "/h"],
        { "an option": (argument) => [`--${argument}`], "an argument": (argument) => ["--root", "/", "--", argument] },
        installerPlaces,
      ),
    ],
  ]);
}

async function asHub(argv: readonly string[]): Promise<void> {
  await refusing(async (print) =>
    runHub(argv, { out: () => undefined, err: print, shown: async () => undefined, stop: new AbortController().signal }),
  );
}

function notThere(): never {
  throw new Fault("file.read-failed", "there is no such file");
}

/** What an operator types to `sallyport-hub` where it needs the hub's state. */
function typedEdges(): ReadonlyMap<string, Edge> {
  const fills = new Map(
    ["a", "\u0000", "\u202e", "ab:", " "].map((fill) => [JSON.stringify(fill), text(fill, 131_070)] as const),
  );
  const typedEdge = (valid: string, take: (typedText: string) => unknown): Edge => ({
    bytesMax: ARGUMENT_BYTES_MAX,
    boundedBefore: true,
    take: (bytes) => take(Buffer.from(bytes).toString()),
    valid: () => Buffer.from(valid),
    worst: fills,
  });
  return new Map<string, Edge>([
    [
      "--args of sallyport-hub ask",
      jsonEdge(49_152, { count: 5, text: "t" }, (bytes) => operationArgs(Buffer.from(bytes).toString())),
    ],
    [
      "fingerprint for sallyport-hub devices approve",
      typedEdge(`SHA256:${SHA}`, (typedText) => fingerprintOf(typedText, "FINGERPRINT")),
    ],
    [
      "digest of a request for sallyport-hub devices approve",
      typedEdge(SHA.slice(0, 32).toUpperCase(), (typedText) => digestOf(typedText, "--request")),
    ],
    ["device id for sallyport-hub", typedEdge(DEVICE_ID, (typedText) => typed(deviceIdSchema, typedText, "ID"))],
    [
      "answer on standard input, byte by byte",
      {
        bytesMax: 4096,
        boundedBefore: true,
        take: async (bytes) => orderOfAnswer(CHALLENGE, (await readAnswerLine(single(bytes))) ?? ""),
        valid: () => padded(`${SHA}.1900000000.${"A".repeat(86)}\r\n`, 4096),
        worst: new Map([
          ["one line", text("a", 4096)],
          ["line ends", text("\n", 4096)],
          ["returns", text("\r", 4096)],
        ]),
      },
    ],
  ]);
}

async function* single(bytes: Uint8Array): AsyncGenerator<Buffer> {
  for (const byte of bytes) yield Buffer.from([byte]);
}

function orderEdges(): ReadonlyMap<string, Edge> {
  const { privateKey } = generateKeyPairSync("ed25519");
  const order = signRequest(CHALLENGE, { privateKey, keyid: SHA }, "r".repeat(200), 1_900_000_000_000);
  const plan = { result: { planHash: TRIAL.planHash, plan: PLAN } };
  return new Map([
    [
      "order request",
      jsonEdge(ORDER_REQUEST_BYTES_MAX, { v: 1, kind: "order-request", ...TRIAL, plan: PLAN, before: PLAN }, async (bytes) =>
        resolveSubject(parseOrderRequest(bytes), { repository: undefined, nowMs: Date.now() }),
      ),
    ],
    [
      "order request of a reset",
      jsonEdge(ORDER_REQUEST_BYTES_MAX, { v: 1, kind: "order-request", ...WIPE, plan: RESET_PLAN }, async (bytes) =>
        resolveSubject(parseOrderRequest(bytes), { repository: undefined, nowMs: Date.now() }),
      ),
    ],
    ["order to send", jsonEdge(ORDER_BYTES_MAX, membersIn(order), (bytes) => readOrderUnverified(Buffer.from(bytes).toString()))],
    [
      "order to send, byte by byte",
      {
        bytesMax: ORDER_BYTES_MAX + 64,
        boundedBefore: true,
        take: async (bytes) => readOrderUnverified(await readOrder("-", single(bytes))),
        valid: () => padded(order, ORDER_BYTES_MAX),
        worst: new Map([
          ["an order above the bound", text("a", ORDER_BYTES_MAX + 64)],
          ["line ends", text("\n", ORDER_BYTES_MAX)],
        ]),
      },
    ],
    [
      "plan for sallyport-hub answer",
      {
        bytesMax: ORDER_REQUEST_BYTES_MAX,
        take: async (bytes) => {
          const [key, file] = [scratch.write("operator.key", pem()), scratch.write("plan.json", bytes)];
          await asHub(["answer", challengeText(TRIAL), "--key", key, "--plan", file, "--yes"]);
        },
        valid: () => padded(JSON.stringify(plan), ORDER_REQUEST_BYTES_MAX),
        worst: hostileJson(ORDER_REQUEST_BYTES_MAX, { "the whole": ["", ""], plan: ['{"result":{"plan":', "}}"] }),
      },
    ],
  ]);
}

const KEY = generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" });

function pem(): string {
  return KEY;
}

/** A file with a key in PEM, of the private or the public kind. */
export function keyEdge(valid: string, take: Edge["take"]): Edge {
  const begin = `${valid.slice(0, valid.indexOf("\n"))}\n`;
  return {
    bytesMax: KEY_BYTES_MAX,
    take,
    valid: () => padded(valid, KEY_BYTES_MAX),
    worst: new Map([
      ["text", text("a", KEY_BYTES_MAX)],
      ["zeros", () => Buffer.alloc(KEY_BYTES_MAX)],
      ["line ends", text("\n", KEY_BYTES_MAX)],
      ["keys that begin", text(begin, KEY_BYTES_MAX)],
      ["one key without an end", () => Buffer.concat([Buffer.from(begin), text("A", KEY_BYTES_MAX - begin.length)()])],
    ]),
  };
}

function keyEdges(): ReadonlyMap<string, Edge> {
  return new Map([
    ["key of an operator", keyEdge(pem(), (bytes) => readKey(scratch.write("edge.key", bytes)))],
    [
      "key of the release tool",
      keyEdge(pem(), async (bytes) => {
        scratch.write("workshop/keys/os.pem", bytes);
        return await readSigner(layoutOf(scratch.path("workshop")), "os");
      }),
    ],
  ]);
}

function releaseEdges(): ReadonlyMap<string, Edge> {
  const entry = { length: 1, hashes: { sha256: SHA }, custom: { v: 1, line: "os", counter: 1 } };
  const drafts = Object.fromEntries(Array.from({ length: 8000 }, (_, n) => [`os/gateway-${n}.json`, entry]));
  const targets = { _type: "targets", version: 1, expires: "2030-01-01T00:00:00Z", targets: drafts };
  const timestamp = labRepository().files.get("timestamp.json");
  return new Map([
    [
      "metadata that the release tool edits",
      {
        bytesMax: METADATA_BYTES_MAX,
        take: (bytes) => draftOf(targetsDraft, bytes, "targets"),
        valid: () => padded(JSON.stringify({ signatures: [], signed: targets }), METADATA_BYTES_MAX),
        worst: hostileJson(METADATA_BYTES_MAX, {
          targets: ['{"signed":{"_type":"targets","version":1,"expires":"","targets":', "}}"],
        }),
      },
    ],
    [
      "drafts of the release tool",
      {
        bytesMax: METADATA_BYTES_MAX,
        take: async (bytes) => {
          scratch.write("workshop/staged/os.json", bytes);
          return await stagedEntries(layoutOf(scratch.path("workshop")), "os");
        },
        valid: () => padded(JSON.stringify(drafts), METADATA_BYTES_MAX),
        worst: hostileJson(METADATA_BYTES_MAX, { "a draft": ['{"os/a":', "}"] }),
      },
    ],
    [
      "policy that is added to a release",
      jsonEdge(POLICY_BYTES_MAX, membersIn(policyBytes()), async (bytes) =>
        checkPayload("policy/a", scratch.write("policy.json", bytes)),
      ),
    ],
    [
      "timestamp of a repository that is published",
      {
        bytesMax: METADATA_BYTES_MAX,
        take: async (bytes) => {
          scratch.write("published/metadata/timestamp.json", bytes);
          return await timestampOf(scratch.path("published"));
        },
        valid: () => padded(Buffer.from(timestamp ?? new Uint8Array()).toString(), METADATA_BYTES_MAX),
        worst: hostileJson(METADATA_BYTES_MAX, { "the signed part": ['{"signatures":[],"signed":', "}"] }),
      },
    ],
  ]);
}
