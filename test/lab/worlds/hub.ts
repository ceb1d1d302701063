// A real hub in this process on free ports, and devices that enrol and connect with our formats and
// a real MQTT client.
import { createPublicKey, generateKeyPairSync, type KeyObject, randomUUID, sign } from "node:crypto";
import { once } from "node:events";
import { request } from "node:https";
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls";
import { type IClientOptions, MqttClient } from "mqtt";
import * as v from "valibot";
import type { AuditUpload } from "../../../agent/tunnel/format.ts";
import { Fault } from "../../../hal/fault.ts";
import { type DeviceId, deviceIdSchema, type Fingerprint, type Protection } from "../../../hal/format/identity.ts";
import { loadAuthority } from "../../../hub/authority/index.ts";
import { createPendingQueue, enrol, readRequest } from "../../../hub/devices/index.ts";
import { type Hub, type HubOptions, initHub, startHub } from "../../../hub/index.ts";
import { createJournalWriter } from "../../../hub/journal.ts";
import { buildRequest, decodeCertsOnly, keyFingerprint } from "../../../provisioning/x509/format/index.ts";
import {
  auditRecord,
  type AuditEntry,
  checkpointOrigin,
  consistencyRanges,
  ed25519Raw,
  encodeAuditRecord,
  encodeCheckpoint,
  encodeNote,
  encodeVerifier,
  leafHash,
  rootOf,
  signNote,
  type Verifier,
  verifierOf,
} from "../../../warden/audit/format/index.ts";
import { temporaryDirectory } from "../runner/temporary.ts";
import type { TestContext } from "../runner/context.ts";
import { HANG_MS } from "../runner/process.ts";

/**
 * A fresh hub on free ports of 127.0.0.1 that stops with the test. With `state` it is a hub that
 * `init` made before.
 */
export async function labHub(
  t: TestContext,
  options: Partial<HubOptions> = {},
): Promise<{ readonly hub: Hub; readonly state: string }> {
  const state = options.state ?? (await temporaryDirectory(t));
  if (options.state === undefined) await initHub({ state, name: "lab hub", hosts: ["localhost", "127.0.0.1"] });
  const hub = await startHub({ listen: "127.0.0.1", estPort: 0, mqttPort: 0, retryAfterS: 1, ...options, state });
  t.teardown(async () => hub.stop());
  return { hub, state };
}

export interface LabDevice {
  readonly id: DeviceId;
  readonly fingerprint: Fingerprint;
  readonly key: KeyObject;
  readonly keyPem: string;
  readonly audit: { readonly privateKey: KeyObject; readonly verifier: Verifier };
  /** PKCS#10 DER. */
  readonly csr: Uint8Array;
}

export interface LabDeviceOptions {
  readonly key?: KeyObject;
  readonly audit?: LabDevice["audit"];
  readonly serialNumber?: string;
  readonly uris?: readonly string[];
  /** Absent: the request does not say. */
  readonly protection?: Protection;
  /** Leaves the audit key out of the request. */
  readonly withoutAuditKey?: boolean;
}

export async function labDevice(id: string, options: LabDeviceOptions = {}): Promise<LabDevice> {
  const key = options.key ?? generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const audit = options.audit ?? labAuditKey(id);
  const publicKey = createPublicKey(key.export({ format: "pem", type: "pkcs8" })).export({ format: "der", type: "spki" });
  const { serialNumber = "SN-1", uris = ["urn:dev:mac:02005efffe100001"] } = options;
  const auditKey = options.withoutAuditKey === true ? undefined : encodeVerifier(audit.verifier);
  const { protection } = options;
  const csr = await buildRequest({ commonName: id, serialNumber, uris, publicKey, auditKey, protection }, async (bytes) =>
    sign("sha256", bytes, { key, dsaEncoding: "der" }),
  );
  return {
    id: v.parse(deviceIdSchema, id),
    fingerprint: keyFingerprint(publicKey),
    key,
    keyPem: key.export({ format: "pem", type: "pkcs8" }),
    audit,
    csr,
  };
}

export function labAuditKey(id: string): LabDevice["audit"] {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return { privateKey, verifier: verifierOf(checkpointOrigin(id), "ed25519", ed25519Raw(publicKey)) };
}

/** The address of a hub in this process or in another. */
export type HubAddress = Pick<Hub, "anchors" | "estPort" | "mqttPort">;

export interface HubResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Buffer;
}

export interface HubRequest {
  readonly method?: string;
  readonly type?: string;
  readonly body?: string | Uint8Array;
  /** PEM. */
  readonly cert?: string;
  readonly key?: string;
  /** A loopback address to ask from. */
  readonly from?: string;
}

/**
 * Sends one HTTPS request to the hub's API and checks the hub's certificate against the anchors.
 */
export async function ask(hub: HubAddress, path: string, asking: HubRequest = {}): Promise<HubResponse> {
  const { method = asking.body === undefined ? "GET" : "POST", type, body, cert, key, from } = asking;
  const outgoing = request({
    host: "127.0.0.1",
    servername: "localhost",
    port: hub.estPort,
    path,
    method,
    agent: false,
    ca: hub.anchors.authority,
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(from === undefined ? {} : { localAddress: from }),
    headers: type === undefined ? {} : { "content-type": type },
  });
  return new Promise((resolve, reject) => {
    outgoing.on("error", reject);
    outgoing.on("response", (response) => {
      const chunks: Uint8Array[] = [];
      response.on("data", (chunk: Uint8Array) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    outgoing.end(body);
  });
}

export const EST = "/.well-known/est";

export async function simpleEnrol(hub: HubAddress, csr: Uint8Array, asking: Pick<HubRequest, "from"> = {}): Promise<HubResponse> {
  return ask(hub, `${EST}/simpleenroll`, { type: "application/pkcs10", body: Buffer.from(csr).toString("base64"), ...asking });
}

export async function simpleReenrol(hub: HubAddress, csr: Uint8Array, cert: string, key: string): Promise<HubResponse> {
  return ask(hub, `${EST}/simplereenroll`, { type: "application/pkcs10", body: Buffer.from(csr).toString("base64"), cert, key });
}

/** The certificate in an answer of the hub, PEM. */
export function certificateIn({ status, body }: HubResponse): string {
  if (status !== 200) throw new Fault("enrol.bad-response", `expected 200, got ${status}: ${body.toString()}`);
  const [certificate] = decodeCertsOnly(Buffer.from(body.toString("latin1"), "base64"));
  if (certificate === undefined) throw new Fault("enrol.bad-response", "no certificate in the answer");
  return toPem(certificate);
}

export function toPem(certificate: Uint8Array): string {
  return `-----BEGIN CERTIFICATE-----\n${Buffer.from(certificate).toString("base64")}\n-----END CERTIFICATE-----\n`;
}

/**
 * Requests, approves and gets a certificate.
 * @returns it, PEM.
 */
export async function enrolled(hub: Hub, device: LabDevice): Promise<string> {
  await simpleEnrol(hub, device.csr);
  await hub.approve(device.id, device.fingerprint);
  return certificateIn(await simpleEnrol(hub, device.csr));
}

/**
 * Requests and approves, with a certificate that was issued some time ago.
 * @returns it, PEM.
 */
export async function enrolledBefore(
  hub: Hub,
  state: string,
  device: LabDevice,
  { agoMs, lifeMs }: { readonly agoMs: number; readonly lifeMs: number },
): Promise<string> {
  await simpleEnrol(hub, device.csr);
  await hub.approve(device.id, device.fingerprint);
  const journal = createJournalWriter(hub.store);
  const context = {
    store: hub.store,
    journal,
    pending: createPendingQueue(hub.store, journal),
    issuer: loadAuthority(state).issuer,
    certificateLifeMs: lifeMs,
  };
  const outcome = await enrol(context, readRequest(device.csr), "127.0.0.1", Date.now() - agoMs);
  if (outcome.kind !== "issued") throw new Fault("enrol.bad-response", `expected a certificate, got "${outcome.kind}"`);
  return toPem(outcome.certificate.der);
}

export interface ConnectOptions extends Partial<IClientOptions> {
  readonly tls?: ConnectionOptions;
}

export interface LabClient {
  readonly client: MqttClient;
  /**
   * 0 when the connection was accepted, else the CONNACK's return code; `closed` when the
   * connection ended without one.
   */
  readonly connack: number | "closed";
  readonly socket: TLSSocket;
}

/** A real MQTT client over real TLS. Resolves when the broker has answered. */
export async function connect(
  t: TestContext,
  hub: HubAddress,
  device: LabDevice,
  cert: string | undefined,
  options: ConnectOptions = {},
): Promise<LabClient> {
  const { tls = {}, ...mqtt } = options;
  const socket = connectTls({
    host: "127.0.0.1",
    servername: "localhost",
    port: hub.mqttPort,
    ca: hub.anchors.authority,
    ALPNProtocols: ["mqtt"],
    ...(cert === undefined ? {} : { cert, key: device.keyPem }),
    ...tls,
  });
  await once(socket, "secureConnect");
  const client = new MqttClient(() => socket, {
    clientId: device.id,
    protocolVersion: 4,
    reconnectPeriod: 0,
    connectTimeout: HANG_MS,
    ...mqtt,
  });
  t.teardown(() => client.end(true));
  const connack = await new Promise<number | "closed">((resolve) => {
    client.on("packetreceive", (packet) => {
      if (packet.cmd === "connack") resolve(packet.returnCode ?? packet.reasonCode ?? 0);
    });
    client.on("error", () => undefined); // A refusal is reported as an error too.
    client.on("close", () => resolve("closed"));
  });
  return { client, connack, socket };
}

/**
 * A device's log as its warden writes it: records, and signed checkpoints of any size with their
 * proofs.
 */
export interface LabLog {
  readonly records: readonly Uint8Array[];
  /** The body of a message on `up/audit`: from `oldSize` to `size`. */
  delivery(oldSize: number, size: number): AuditUpload["body"];
}

/**
 * @param mark goes into every record, so that logs with different marks have different histories.
 * @param entries of the first records; the others say that the agent started.
 */
export function labLog(device: LabDevice, size: number, mark = "one", entries: readonly AuditEntry[] = []): LabLog {
  const records = Array.from({ length: size }, (_, seq) =>
    encodeAuditRecord(
      auditRecord(entries[seq] ?? { event: "agent.started", result: "ok", detail: { mark } }, {
        seq,
        atMs: 1_800_000_000_000 + seq,
        monotonicMs: seq,
        bootId: "b0",
        clockSynced: false,
      }),
    ),
  );
  const leaves = records.map((record) => leafHash(record));
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
  return {
    records,
    delivery: (oldSize, to) => {
      const text = encodeCheckpoint({ origin: checkpointOrigin(device.id), size: to, root: rootOf(leaves, 0, to) });
      return {
        oldSize,
        checkpoint: encodeNote({ text, signatures: [signNote(text, device.audit)] }),
        proof: consistencyRanges(oldSize, to).map(({ start, end }) => base64(rootOf(leaves, start, end))),
        records: records.slice(oldSize, to).map((record) => base64(record)),
      };
    },
  };
}

/** A message as the agent or the hub sends it. */
export function labMessage(body: unknown, id: string = randomUUID()): string {
  return JSON.stringify({ v: 1, id, at: new Date().toISOString(), body });
}
