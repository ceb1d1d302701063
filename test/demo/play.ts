// The steps of the first power-on, in order. Each looks for its own proof and throws when it is not there.
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { assert, Fault } from "../../hal/fault.ts";
import { canonicalJson, parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import type { Snapshot } from "../../agent/status/format.ts";
import { decodeAuditRecord } from "../../warden/audit/format/index.ts";
import { encodeFrame, FRAME_HEAD_BYTES, readFrames } from "../../warden/audit/format/frame.ts";
import { eventually, type RunningProgram } from "../lab/process.ts";
import { type HubDevice, hubDevices, plainKeyFiles, readCertificate, readRequest } from "./evidence.ts";
import type { Narrator, Say } from "./narrate.ts";
import { openTerminal, type Terminal } from "./terminal.ts";
import type { World } from "./world.ts";

const AWAY_STATUS_READINGS = 5;
const shownSchema = v.looseObject({
  seq: v.number(),
  record: v.record(
    v.string(),
    v.union([v.string(), v.number(), v.boolean(), v.record(v.string(), v.union([v.string(), v.number(), v.boolean()]))]),
  ),
});

export async function play(world: World, { step, skipped }: Narrator): Promise<void> {
  const { rig } = world;
  let hub = await step("The hub starts: authority, enrolment, broker, witness, time", async (say) => {
    const started = await rig.startHub();
    const anchors = await rig.anchors();
    say("listens", `${world.network?.hubAddress ?? "127.0.0.1"}, EST on ${rig.ports.est}, MQTT on ${rig.ports.mqtt}`);
    say("in the image", `hub.json: name ${anchors.host}, authority, time key, witness key`);
    return started;
  });
  await step("The board boots: the warden reads who it is from the hardware", (say) => bootWarden(world, say));
  const terminal = world.cable === undefined ? undefined : await openTerminal(world.cable.hostPath);
  await step("The agent makes a key and a certificate request on the board", (say) => makeRequest(world, say));
  const device = await step("An operator compares the fingerprint and approves it", (say) => approve(world, terminal, say));
  await step("The certificate is issued, for this key only", (say) => certified(world, say));
  await step("The tunnel is up: mutual TLS, each side sees the other", (say) => connected(world, device.id, say));
  if (terminal === undefined) skipped("Status on the serial line", "needs socat: apt-get install socat");
  else await step("A technician reads the status on the serial line", (say) => serialStatus(terminal, say));
  hub = await step("The hub is killed and comes back: nothing is lost", (say) => killHub(world, hub, say));
  await step("The hub verifies the audit trail it received", (say) => verifyAtHub(world, device.id, say));
  await step("One byte of the device's log is flipped: the verifier names the entry", (say) => flipByte(world, device, say));
  await terminal?.close();
  assert(hub.pid > 0, "the hub runs");
}

/** @throws Fault `process.failed`: the step did not happen. */
function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Fault("process.failed", `this did not happen: ${what}`);
}

async function statusWhen(
  world: World,
  what: string,
  wanted: (status: Snapshot) => boolean,
  timeoutMs = 40_000,
): Promise<Snapshot> {
  return eventually(
    what,
    async () => {
      const status = await world.rig.status();
      return wanted(status) ? status : undefined;
    },
    timeoutMs,
    200,
  );
}

async function bootWarden({ rig }: World, say: Say): Promise<void> {
  const warden = await rig.startWarden();
  const line = await warden.line(/device "/u);
  const [, id, source] = /device "([^"]+)" \(([a-z]+)\)/u.exec(line) ?? [];
  const read = (name: string): string => readFileSync(join(rig.board.root, "sys/class/dmi/id", name), "utf8").trim();
  must(id === read("product_serial") && source === "serial", `the id is the board's serial: ${line}`);
  say("DMI", `product_serial "${read("product_serial")}", board_serial "${read("board_serial")}" (a placeholder: refused)`);
  say("device id", `${id}, from the board's serial`);
  say("runs as", rig.twoUsers ? "root, no IP socket; owns the audit log" : "the same user as the agent (no root here)");
}

async function makeRequest(world: World, say: Say): Promise<void> {
  const { rig, tpm } = world;
  await rig.startAgent();
  const status = await statusWhen(world, "the request", ({ enrolment }) => enrolment?.state === "waiting-for-approval");
  const { key } = status;
  must(
    key !== undefined && key.protection === (tpm === undefined ? "file" : "tpm"),
    `the key is in ${tpm === undefined ? "a file" : "the TPM"}`,
  );
  const plain = plainKeyFiles(rig);
  must(tpm === undefined || plain.length === 0, `no plain private key lies on disk: ${plain.join(", ")}`);
  say(
    "key",
    tpm === undefined
      ? `P-256 in a 0600 file: ${key.note ?? "as configured"}`
      : "P-256, made in the TPM; no private key file on disk (looked)",
  );
  say("fingerprint", key.fingerprint);
  const request = await readRequest(rig);
  must(request.verified, "openssl verifies the request's signature");
  say("request", `${request.subject} (openssl req -verify: OK)\n${request.names}`);
  say("life", status.life);
}

async function approve({ rig }: World, terminal: Terminal | undefined, say: Say): Promise<HubDevice> {
  const [pending] = (await hubDevices(rig)).filter(({ state }) => state === "pending");
  must(pending !== undefined, "the hub lists the request");
  let shown: string;
  if (terminal === undefined) shown = (await rig.status()).key?.fingerprint ?? "";
  else {
    await terminal.type("\r");
    await terminal.until(/> $/u);
    await terminal.type("status\r");
    shown = /sha256:[0-9a-f]{64}/u.exec(await terminal.until(/trouble[\s\S]*> $/u))?.[0] ?? "";
  }
  must(shown === pending.fingerprint, `the device shows ${shown}, the hub has ${pending.fingerprint}`);
  say(terminal === undefined ? "on the device" : "serial line", shown);
  say("at the hub", `${pending.fingerprint}: the same`);
  await rig.hubCommand("devices", "approve", pending.id, pending.fingerprint);
  say("approved", `sallyport-hub devices approve ${pending.id} ${pending.fingerprint.slice(0, 19)}...`);
  return pending;
}

async function certified(world: World, say: Say): Promise<void> {
  await statusWhen(world, "the certificate", ({ certificate }) => certificate !== undefined);
  const certificate = await readCertificate(world.rig);
  must(certificate.signed, "the hub's authority signed it");
  say("subject", certificate.subject);
  say("issuer", `${certificate.issuer} (signature checked)`);
  say("valid until", certificate.notAfter);
}

async function connected(world: World, id: string, say: Say): Promise<void> {
  const { tunnel } = await statusWhen(
    world,
    "the tunnel",
    ({ life, audit }) => life === "connected" && (audit?.witnessedSize ?? 0) > 0,
  );
  must(tunnel.peer === world.rig.hubName, `the device checked the hub's name: ${tunnel.peer ?? "none"}`);
  say("device sees", `${tunnel.peer}, ${tunnel.tls}, ${tunnel.cipher}, ${tunnel.group}, MQTT ${tunnel.mqtt}`);
  const connection = await eventually(
    "the hub's view of the connection",
    async () => (await hubDevices(world.rig)).find((device) => device.id === id)?.connection,
  );
  must(connection.group === tunnel.group && connection.protocol === tunnel.tls, "both sides name the same protocol and group");
  say(
    "hub sees",
    `${id} (certificate ${connection.serial.slice(0, 16)}...), ${connection.protocol}, ${connection.cipher}, ${connection.group}`,
  );
}

async function serialStatus(terminal: Terminal, say: Say): Promise<void> {
  await terminal.type("status\r");
  const text = await terminal.until(/trouble[\s\S]*> $/u);
  must(/CONNECTED/u.test(text), `the console says CONNECTED:\n${text}`);
  say("115200 baud", text.split("\n").slice(1, -1).join("\n").trimEnd());
}

async function killHub(world: World, hub: RunningProgram, say: Say): Promise<RunningProgram> {
  const { rig } = world;
  const before = await rig.status();
  await hub.stop("SIGKILL");
  await statusWhen(world, "the device notices", ({ life }) => life === "disconnected");
  for (let asked = 0; asked < AWAY_STATUS_READINGS; asked += 1) await rig.status();
  const away = await rig.status();
  must(
    away.audit !== undefined && before.audit !== undefined && away.audit.size > away.audit.witnessedSize,
    "records wait on the device",
  );
  say(
    "while away",
    `${away.audit.size - away.audit.witnessedSize} audit records wait on the device, ${away.tunnel.spool.messages} message(s) in the spool`,
  );
  const again = await rig.startHub();
  const { audit, tunnel } = await statusWhen(
    world,
    "everything is at the hub",
    (status) =>
      status.life === "connected" &&
      status.tunnel.spool.messages === 0 &&
      (status.audit?.witnessedSize ?? 0) >= (away.audit?.size ?? 0),
  );
  must(audit?.dropped === 0 && tunnel.spool.dropped === 0, "nothing was dropped, neither records nor messages");
  say(
    "back",
    `connection ${tunnel.connections}, ${audit?.witnessedSize} records witnessed, spool empty; 0 records and 0 messages dropped`,
  );
  return again;
}

async function verifyAtHub({ rig }: World, id: string, say: Say): Promise<void> {
  say("audit verify", (await rig.hubCommand("audit", "verify", id)).trim());
  const shown = (await rig.hubCommand("audit", "show", id, "-n", "400"))
    .split("\n")
    .filter((line) => /key\.created|enrolment\.|tunnel\.connected|birth\.|time\.set/u.test(line));
  must(shown.length >= 4, "the trail at the hub tells of key, enrolment and tunnel");
  say("it tells", shown.map((line) => line.trim().slice(0, 110)).join("\n"));
}

/** Works on a copy: the device's own log stays whole. */
async function flipByte({ rig }: World, device: HubDevice, say: Say): Promise<void> {
  const key = (await hubDevices(rig)).find(({ id }) => id === device.id)?.auditKey;
  must(key !== undefined, "the hub knows the device's audit key from its certificate request");
  const copy = join(rig.directory, "copy");
  cpSync(rig.board.wardenState, copy, { recursive: true });
  const verify = (): { readonly code: number | null; readonly words: string } => {
    const { code, stdout, stderr } = rig.command("audit", "verify", copy, "--key", key);
    return { code, words: `${stdout}${stderr}`.trim().split("\n").slice(0, 2).join("\n") };
  };
  const whole = verify();
  must(whole.code === 0, `the untouched copy verifies: ${whole.words}`);
  say("untouched", whole.words);
  const target = findRecord(join(copy, "audit"), "enrolment.requested");
  edit(target, "as-is");
  const flipped = verify();
  must(
    flipped.code === 5 && flipped.words.includes(`entry ${target.seq}`),
    `the flipped byte is found at entry ${target.seq}: ${flipped.words}`,
  );
  say("one bit", `of byte ${target.offset} of ${target.file}, in entry ${target.seq}\n${flipped.words}`);
  edit(target, "with-checksum");
  const careful = verify();
  must(careful.code === 5, `the careful edit is found: ${careful.words}`);
  const differing = await differingEntry(rig, device.id, target);
  must(differing === target.seq, `the hub's records tell which entry was edited: ${differing}`);
  say(
    "checksum too",
    `made right again, as a careful editor would\n${careful.words}\nbeside the hub's records: entry ${differing} differs`,
  );
}

/** The first entry of the edited segment that is not what the hub holds. */
async function differingEntry(rig: World["rig"], id: string, { directory, file }: Target): Promise<number | undefined> {
  const lines = (await rig.hubCommand("audit", "show", id, "-n", "1000", "--json")).split("\n").filter((line) => line !== "");
  const held = new Map(
    lines
      .map((line) => check(shownSchema, parseJson(line, 65_536, "record"), "record"))
      .map(({ seq, record }) => [seq, canonicalJson(record)]),
  );
  const bodies = readFrames(readFileSync(join(directory, file))).bodies.slice(1);
  const index = bodies.findIndex((body, seq) => held.has(seq) && held.get(seq) !== Buffer.from(body).toString("utf8"));
  return index < 0 ? undefined : index;
}

interface Target {
  readonly directory: string;
  readonly file: string;
  readonly seq: number;
  /** Of the byte that is flipped, in the file. */
  readonly offset: number;
  readonly frame: { readonly start: number; readonly length: number };
  readonly original: Uint8Array;
}

/** The first record of `event`. A segment's first frame is its header, its records follow. */
function findRecord(directory: string, event: string): Target {
  for (const file of readdirSync(directory)
    .filter((name) => name.startsWith("segment-"))
    .sort()) {
    const original = readFileSync(join(directory, file));
    const { bodies } = readFrames(original);
    const index = bodies.findIndex((body) => Buffer.from(body).includes(event));
    const body = bodies[index];
    if (body === undefined) continue;
    const start = bodies.slice(0, index).reduce((sum, before) => sum + FRAME_HEAD_BYTES + before.byteLength, 0);
    const offset = start + FRAME_HEAD_BYTES + Buffer.from(body).indexOf(event);
    const { seq } = decodeAuditRecord(body);
    return { directory, file, seq, offset, frame: { start, length: FRAME_HEAD_BYTES + body.byteLength }, original };
  }
  throw new Fault("process.failed", `no record of ${event} in the log`);
}

/** Flips the lowest bit of the byte in the original file; `with-checksum` also writes the frame's checksum anew. */
function edit({ directory, file, offset, frame, original }: Target, how: "as-is" | "with-checksum"): void {
  const bytes = Buffer.from(original);
  bytes.writeUInt8(bytes.readUInt8(offset) ^ 0x01, offset);
  if (how === "with-checksum") {
    const begins = bytes.readUInt32BE(frame.start) >= 0x8000_0000;
    bytes.set(encodeFrame(bytes.subarray(frame.start + FRAME_HEAD_BYTES, frame.start + frame.length), begins), frame.start);
  }
  writeFileSync(join(directory, file), bytes);
}
