// The edges of files: what a repository serves and an agent hands over, what people configure, and
// what a program finds in its state.
import { generateKeyPairSync } from "node:crypto";
import * as v from "valibot";
import { parseAgentConfig, parseAnchors, CONFIG_BYTES_MAX as AGENT_CONFIG_BYTES_MAX } from "../../../agent/config.ts";
import { readMqtt5Refusal, writeMqtt5Refusal } from "../../../agent/tunnel/record.ts";
import { createSetAside, type SetAside } from "../../../agent/tunnel/set-aside.ts";
import { fakeClock } from "../fakes/clock.ts";
import { Fault } from "../../../hal/fault.ts";
import { parseConfigFile } from "../../../hal/format/config.ts";
import { BIRTH_RECORD } from "../../../hal/format/identity.ts";
import { decodeRecord, encodeRecord } from "../../../hal/format/record.ts";
import type { DurableFiles } from "../../../hal/ports.ts";
import { parseSettings } from "../../../hub/state/settings.ts";
import { RECORD_BYTES_MAX as UPDATE_RECORD_BYTES_MAX } from "../../../ota/commit/limits.ts";
import { recordOf, UPDATE_RECORD } from "../../../ota/commit/record.ts";
import { FLOORS_BYTES_MAX } from "../../../ota/floor/limits.ts";
import { FLOORS } from "../../../ota/floor/record.ts";
import { HUB_ANCHORS_BYTES_MAX } from "../../../ota/format/anchors.ts";
import { IMAGE_FACTS_BYTES_MAX, imageFactsSchema } from "../../../ota/format/image.ts";
import { INDEX_BYTES_MAX, readIndex, writeIndex } from "../../../ota/index/format/index.ts";
import { MANIFEST_BYTES_MAX } from "../../../ota/install/format.ts";
import { canonicalBytes, signatureOf } from "../../../ota/trust/format/index.ts";
import { ROOT_BYTES_MAX, SNAPSHOT_BYTES_MAX, TARGETS_BYTES_MAX, TIMESTAMP_BYTES_MAX } from "../../../ota/trust/limits.ts";
import { trustRoot, updateRoot } from "../../../ota/trust/root.ts";
import { updateSnapshot } from "../../../ota/trust/snapshot.ts";
import { updateTargets } from "../../../ota/trust/targets.ts";
import { updateTimestamp } from "../../../ota/trust/timestamp.ts";
import type { Chain, TrustedMetadata } from "../../../ota/trust/trusted.ts";
import { parseManifest } from "../../../build/release/image.ts";
import { loadPendingEvents, NO_PENDING_EVENTS, savePendingEvents } from "../../../warden/audit/pending-events.ts";
import { AUDIT_RECORD_BYTES_MAX, decodeAuditRecord } from "../../../warden/audit/format/index.ts";
import { PENDING_EVENTS_BYTES_MAX } from "../../../warden/audit/limits.ts";
import { CONFIG_BYTES_MAX as WARDEN_CONFIG_BYTES_MAX, parseConfig } from "../../../warden/config.ts";
import { readBirth } from "../../../warden/identity/birth.ts";
import { parsePolicy, POLICY_BYTES_MAX } from "../../../warden/lockdown/format/index.ts";
import { RECORD_BYTES_MAX as LOCKDOWN_RECORD_BYTES_MAX } from "../../../warden/lockdown/limits.ts";
import { readRecord, writeRecord } from "../../../warden/lockdown/record.ts";
import { parseRoster, ROSTER_BYTES_MAX } from "../../../warden/roster/format.ts";
import { readStored, sha256, writeStored } from "../../../warden/targets/stored-payload.ts";
import { openApproval } from "../../../warden/update/approval.ts";
import { APPROVAL_BYTES_MAX } from "../../../warden/update/limits.ts";
import { anchorsFile, makeSigner } from "../counterparts/hub-signer.ts";
import { type LabKey, labCustom, labKey, labRepository, NOW_MS, type LabRepository } from "../counterparts/repository.ts";
import { appendMany, auditDisk, openOn } from "../worlds/audit.ts";
import { fakeFiles } from "../fakes/files.ts";
import { labPolicy, policyBytes } from "../worlds/lockdown.ts";
import {
  type Around,
  type Edge,
  hostileJson,
  jsonEdge,
  memberOf,
  membersIn,
  membersOf,
  padded,
  smallOf,
  within,
} from "./edge.ts";

const SHA = "ab".repeat(32);

export async function fileEdges(): Promise<ReadonlyMap<string, Edge>> {
  return new Map([...trustEdges(), ...payloadEdges(), ...configurationEdges(), ...(await stateEdges())]);
}

/** Each kind of metadata: unsigned, under false signatures, and signed by the role's own key. */
function trustEdges(): ReadonlyMap<string, Edge> {
  const repository = fullRepository();
  const root = trustRoot(repository.imageRoot);
  const timestamp = updateTimestamp(root, bytesOf(repository, "timestamp.json"), NOW_MS);
  const snapshot = updateSnapshot(timestamp, bytesOf(repository, "2.snapshot.json"), NOW_MS);
  const targets = updateTargets(snapshot, ["targets"], bytesOf(repository, "2.targets.json"), NOW_MS);
  const edge = (role: string, name: string, bytesMax: number, take: Edge["take"]): Edge => ({
    bytesMax,
    take,
    valid: () => padded(Buffer.from(bytesOf(repository, name)).toString(), bytesMax),
    worst: hostileMetadata(bytesMax, membersIn(bytesOf(repository, name)), repository.signersOf(role)),
  });
  const chain = (trusted: TrustedMetadata, roles: Chain) => (bytes: Uint8Array) => updateTargets(trusted, roles, bytes, NOW_MS);
  return new Map([
    ["root", edge("root", "2.root.json", ROOT_BYTES_MAX, (bytes) => updateRoot(root, bytes, NOW_MS))],
    ["own root", edge("root", "2.root.json", ROOT_BYTES_MAX, (bytes) => trustRoot(bytes))],
    ["timestamp", edge("timestamp", "timestamp.json", TIMESTAMP_BYTES_MAX, (bytes) => updateTimestamp(root, bytes, NOW_MS))],
    ["snapshot", edge("snapshot", "2.snapshot.json", SNAPSHOT_BYTES_MAX, (bytes) => updateSnapshot(timestamp, bytes, NOW_MS))],
    ["targets", edge("targets", "2.targets.json", TARGETS_BYTES_MAX, chain(snapshot, ["targets"]))],
    ["delegated role", edge("os", "2.os.json", TARGETS_BYTES_MAX, chain(targets, ["targets", "os"]))],
  ]);
}

/** Every file is nearly as large as its bound. */
function fullRepository(): LabRepository {
  const repository = labRepository();
  const spare = labKey();
  for (let n = 0; n < 900; n += 1) repository.root.keys[n.toString(16).padStart(64, "0")] = spare.key;
  for (let n = 0; n < 750; n += 1)
    repository.snapshot.meta[`role-${n}.json`] = { version: 1, length: 1, hashes: { sha256: SHA } };
  for (const role of ["targets", "os"]) {
    const { targets } = repository.roleOf(role);
    const custom = labCustom({ line: "os" });
    for (let n = 0; n < 6000; n += 1) targets[`os/gateway-${n}`] = { length: 1, hashes: { sha256: SHA }, custom };
  }
  repository.publish("root", "targets", "os");
  return repository;
}

function bytesOf(repository: LabRepository, name: string): Uint8Array {
  const bytes = repository.files.get(name);
  if (bytes === undefined) throw new Fault("assert.broken", `the lab's repository has no ${name}`);
  return bytes;
}

/** The signed part is hostile itself, or one of its members is. */
function hostileMetadata(
  bytesMax: number,
  genuineFile: Readonly<Record<string, unknown>>,
  [key]: readonly LabKey[],
): ReadonlyMap<string, () => Uint8Array> {
  const signed = v.parse(v.looseObject({}), genuineFile["signed"]);
  const small = Object.fromEntries(Object.entries(signed).filter(([, value]) => JSON.stringify(value).length < 4096));
  const places: Record<string, Around> = { ...membersOf(["signatures"], { signed: {} }) };
  // a large file has one place, for the time it takes
  const members = bytesMax > 1_000_000 ? ["targets"] : Object.keys(signed).filter((name) => typeof signed[name] === "object");
  const signedPlaces: Record<string, Around> = membersOf(members, small);
  const named = key === undefined ? [] : [{ keyid: key.id, sig: "ab".repeat(64) }];
  for (const [place, around] of Object.entries(signedPlaces)) {
    places[`unsigned, ${place}`] = within(memberOf("signed", { signatures: [] }), around);
    places[`under a false signature, ${place}`] = within(memberOf("signed", { signatures: named }), around);
  }
  const inputs = new Map(hostileJson(bytesMax, places));
  const genuine = hostileJson(bytesMax - 1024, signedPlaces);
  for (const [name, make] of genuine) inputs.set(`signed by the role's own key, ${name}`, () => signedBy(make(), key));
  return inputs;
}

/** What is no JSON or has no canonical form cannot be signed; any signature does for it. */
function signedBy(signed: Uint8Array, key: LabKey | undefined): Uint8Array {
  const text = Buffer.from(signed).toString();
  const sig = key === undefined ? undefined : signatureOfText(text, key);
  const signatures = JSON.stringify([{ keyid: key?.id, sig: sig ?? "ab".repeat(64) }]);
  return Buffer.from(`{"signatures":${signatures},"signed":${text}}`);
}

function signatureOfText(text: string, key: LabKey): string | undefined {
  try {
    return signatureOf(canonicalBytes(JSON.parse(text)), key.privateKey);
  } catch (error) {
    if (error instanceof Fault || error instanceof SyntaxError || error instanceof RangeError) return undefined;
    throw error;
  }
}

function payloadEdges(): ReadonlyMap<string, Edge> {
  const operators = Array.from({ length: 64 }, (_, n) => ({
    id: `operator-${n}`,
    name: "n".repeat(64),
    roles: ["viewer"],
    keys: [orderKey()],
  }));
  const groups = Object.fromEntries(
    Array.from({ length: 10 }, (_, n) => [
      `group-${n}`,
      Array.from({ length: 900 }, (_each, device) => `GW-${n}-${device}-0000000`),
    ]),
  );
  const policy = membersIn(policyBytes());
  const manifest = {
    v: 1,
    store: "chunks",
    parts: [{ part: "root", bytes: 1, index: { path: "a.caibx", bytes: 1, sha256: SHA } }],
  };
  const chunk = { id: SHA, length: 1024 };
  const sizes = { minBytes: 1024, avgBytes: 4096, maxBytes: 16_384 };
  const index = (chunks: number): Uint8Array =>
    writeIndex(
      Array.from({ length: chunks }, () => chunk),
      sizes,
    );
  return new Map([
    ["policy", jsonEdge(POLICY_BYTES_MAX, policy, (bytes) => parsePolicy(bytes))],
    ["roster", jsonEdge(ROSTER_BYTES_MAX, { v: 1, tenant: "acme", groups, operators }, (bytes) => parseRoster(bytes))],
    ["manifest", jsonEdge(MANIFEST_BYTES_MAX, manifest, (bytes) => parseManifest(bytes))],
    [
      "chunk index",
      {
        bytesMax: INDEX_BYTES_MAX,
        take: (bytes: Uint8Array) => readIndex(bytes),
        valid: () => index(200_000),
        worst: new Map([
          ["zeros", () => Buffer.alloc(INDEX_BYTES_MAX)],
          ["a wrong tail", () => Buffer.concat([index(200_000).subarray(0, -8), Buffer.alloc(8)])],
          ["a wrong last chunk", () => damaged(index(200_000), -80)],
          ["a byte too many", () => Buffer.concat([index(200_000), Buffer.alloc(1)])],
        ]),
      },
    ],
  ]);
}

function damaged(bytes: Uint8Array, at: number): Uint8Array {
  bytes.fill(255, bytes.byteLength + at, bytes.byteLength + at + 8);
  return bytes;
}

function orderKey(): string {
  return generateKeyPairSync("ed25519").publicKey.export({ format: "der", type: "spki" }).toString("base64");
}

function configurationEdges(): ReadonlyMap<string, Edge> {
  const signer = (kind: "ed25519" | "cosignature/v1") => makeSigner("hub.example", kind);
  const anchors = membersIn(Buffer.from(anchorsFile(signer("ed25519"), signer("cosignature/v1"))));
  const facts = { v: 1, version: "1.0", hardware: "gateway-2", counter: 1 };
  return new Map([
    [
      "configuration of the agent",
      jsonEdge(AGENT_CONFIG_BYTES_MAX, { spool: {}, tunnel: {}, key: {} }, (bytes) => parseAgentConfig(bytes, "agent.json")),
    ],
    [
      "configuration of the warden",
      jsonEdge(WARDEN_CONFIG_BYTES_MAX, { audit: {}, lockdown: {}, buildDate: "2026-11-30" }, (bytes) =>
        parseConfig(bytes, "warden.json"),
      ),
    ],
    [
      "settings of the hub",
      jsonEdge(8192, { v: 1, hosts: ["hub.example"], certificateLifeMs: 86_400_000 }, (bytes) =>
        parseSettings(Buffer.from(bytes).toString()),
      ),
    ],
    ["anchors of the hub", jsonEdge(HUB_ANCHORS_BYTES_MAX, anchors, (bytes) => parseAnchors(bytes, "hub.json"))],
    [
      "facts of the image",
      jsonEdge(IMAGE_FACTS_BYTES_MAX, facts, (bytes) =>
        parseConfigFile(imageFactsSchema, bytes, IMAGE_FACTS_BYTES_MAX, "image.json"),
      ),
    ],
  ]);
}

/** Records in a program's own state. Each valid one is written by the program itself. */
async function stateEdges(): Promise<ReadonlyMap<string, Edge>> {
  const birth = { id: "gw-1", keyFingerprint: `sha256:${SHA}`, protection: "file", source: "serial", v: 1 };
  const quarantined = Array.from({ length: 8 }, (_, n) => ({ digest: SHA, line: "os", counter: n }));
  const lockdown = { v: 1 as const, confirmed: { counter: 1, planHash: `sha256:${SHA}`, policy: labPolicy() } };
  const payload = Buffer.alloc(ROSTER_BYTES_MAX - 1, 32);
  const stored = { target: "operators/a", counter: 1, digest: sha256(payload), bytes: payload };
  const storedBytesMax = 1024 + Math.ceil(ROSTER_BYTES_MAX / 3) * 4;
  return new Map([
    [
      "birth record",
      stateEdge(BIRTH_RECORD.bytesMax, Buffer.from(JSON.stringify(birth)), async (files) => await readBirth(files)),
    ],
    [
      "floors",
      stateEdge(
        FLOORS_BYTES_MAX,
        encodeRecord({ v: 1, serial: 0, lines: { os: { floor: 1, committed: 1 } } }, FLOORS),
        async (_files, bytes) => decodeRecord(bytes, FLOORS),
      ),
    ],
    [
      "state of the update",
      stateEdge(
        UPDATE_RECORD_BYTES_MAX,
        encodeRecord(recordOf({ phase: { at: "idle" }, quarantined }), UPDATE_RECORD),
        async (_files, bytes) => decodeRecord(bytes, UPDATE_RECORD),
      ),
    ],
    [
      "lockdown record",
      stateEdge(
        LOCKDOWN_RECORD_BYTES_MAX,
        await written(async (files) => await writeRecord(files, lockdown)),
        async (files) => await readRecord(files),
      ),
    ],
    [
      "stored payload",
      stateEdge(
        storedBytesMax,
        await written(async (files) => await writeStored(files, "operators", ROSTER_BYTES_MAX, stored)),
        async (files) => await readStored(files, "operators", ROSTER_BYTES_MAX),
      ),
    ],
    [
      "approval",
      stateEdge(
        APPROVAL_BYTES_MAX,
        await written(async (files) => await (await openApproval(files, thrown)).grant(SHA)),
        async (files) => await openApproval(files, thrown),
      ),
    ],
    [
      "pending audit events",
      stateEdge(
        PENDING_EVENTS_BYTES_MAX,
        await written(async (files) => await savePendingEvents(files, { ...NO_PENDING_EVENTS, dropped: 1, droppedTotal: 1 })),
        async (files) => ignored(await loadPendingEvents(files), NO_PENDING_EVENTS),
      ),
    ],
    [
      "tunnel record",
      stateEdge(1024, await written(async (files) => await writeMqtt5Refusal(files, 1)), async (files) =>
        ignored(await readMqtt5Refusal(files), undefined),
      ),
    ],
    [
      "messages set aside",
      stateEdge(1_048_576, await written(async (files) => await asideIn(files).keep(REFUSED, TOO_LARGE)), async (files) => {
        const aside = asideIn(files);
        await aside.load();
        return ignored(aside.count(), 0);
      }),
    ],
    ["audit record", stateEdge(AUDIT_RECORD_BYTES_MAX, await firstRecord(), async (_files, bytes) => decodeAuditRecord(bytes))],
  ]);
}

const REFUSED = { channel: "event", payload: Buffer.alloc(1000, "x") } as const;
const TOO_LARGE = new Fault("spool.too-large", "the hub never takes it");

function asideIn(files: DurableFiles): SetAside {
  return createSetAside({ files, clock: fakeClock(), onEvent: () => undefined });
}

async function firstRecord(): Promise<Uint8Array> {
  const log = await openOn(auditDisk());
  await appendMany(log, 1);
  const [bytes] = await log.read(0, 1);
  await log.close();
  if (bytes === undefined) throw new Fault("assert.broken", "the log has no record");
  return bytes;
}

function thrown(fault: Fault): never {
  throw fault;
}

/** Some records are only replaced when they cannot be read. */
function ignored(value: unknown, fallback: unknown): unknown {
  if (value === fallback || JSON.stringify(value) === JSON.stringify(fallback))
    throw new Fault("schema.invalid", "the record is ignored");
  return value;
}

async function written(write: (files: DurableFiles) => Promise<void>): Promise<Uint8Array> {
  const files = fakeFiles();
  await write(files);
  const [bytes] = files.contents.values();
  if (bytes === undefined) throw new Fault("assert.broken", "nothing was written");
  return bytes;
}

function stateEdge(
  bytesMax: number,
  valid: Uint8Array,
  take: (files: DurableFiles, bytes: Uint8Array) => Promise<unknown>,
): Edge {
  const members = membersIn(valid);
  return {
    bytesMax,
    take: async (bytes) => await take({ ...fakeFiles(), get: async () => bytes }, bytes),
    valid: () => valid,
    worst: hostileJson(bytesMax, membersOf(Object.keys(members), smallOf(members))),
  };
}
