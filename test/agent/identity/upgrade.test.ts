// The identity manager while its key is upgraded: renewals of the present certificate go on beside
// it, and one connection never proves two certificates.
import { X509Certificate } from "node:crypto";
import { test, type Test } from "tap";
import { createIdentityManager, type IdentityManager } from "../../../agent/identity/index.ts";
import { Fault } from "../../../hal/fault.ts";
import { check } from "../../../hal/format/schema.ts";
import { type BirthRecord, deviceIdSchema } from "../../../hal/format/identity.ts";
import type { DeviceKey } from "../../../hal/ports.ts";
import { createCertificateReceipts, createCertificateStore } from "../../../provisioning/certificate/index.ts";
import type { EnrolAnswer, Enroller } from "../../../provisioning/enrollers/index.ts";
import { keyFingerprint, parseRequest } from "../../../provisioning/x509/format/index.ts";
import type { WardenClient } from "../../../warden/client/index.ts";
import type { KeyGrant } from "../../../warden/identity/format.ts";
import { REST_MS } from "../../../provisioning/upgrade/limits.ts";
import { issueFor, makePki, type Pki } from "../../lab/counterparts/pki.ts";
import { type FakeClock, fakeClock } from "../../lab/fakes/clock.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";
import { type MemoryKey, memoryKey } from "../../lab/fakes/keys.ts";
import { needs } from "../../lab/runner/needs.ts";
import { eventually } from "../../lab/runner/process.ts";
import { smallTrail } from "../../lab/worlds/trail.ts";
import { clientOf, serveVerbs } from "../../lab/worlds/warden-socket.ts";

const skip = needs("openssl");
const DAY_MS = 86_400_000;
const EVENTS = [
  "enrolment.requested",
  "enrolment.completed",
  "key.file-beside-tpm",
  "key.created",
  "certificate.renewed",
  "key.replaced",
];
const ID = check(deviceIdSchema, "gw-1", "id");

/** The two keys of one device, its warden and its hub. */
class Device {
  readonly old = memoryKey();
  readonly better: MemoryKey = { ...memoryKey(), protection: "tpm" };
  readonly clock: FakeClock = fakeClock(Date.now());
  readonly events: string[] = [];
  /** What the broker accepted: the protection of the key, and the serial of the certificate. */
  readonly accepted: { readonly protection: string; readonly serial: string }[] = [];
  /** Serials that were shown at /simplereenroll, by the key that was asked for. */
  readonly shown: { readonly key: string; readonly serial: string }[] = [];
  readonly stored = new Map<string, DeviceKey>([["file", this.old]]);
  answer: "wait" | "issue" = "wait";
  broker: "accepts" | "away" = "accepts";
  inForce: string = this.old.fingerprint;
  birth: BirthRecord = { v: 2, id: ID, source: "serial", protection: "file", keyFingerprint: this.old.fingerprint };
  grant: KeyGrant | undefined;
  readonly #directory: string;
  readonly #pki: Pki;
  readonly #warden: WardenClient;
  readonly #ending = new AbortController();
  readonly manager: IdentityManager;
  #issued = 0;

  constructor(t: Test, path: string) {
    this.#directory = t.testdir();
    this.#pki = makePki(this.#directory);
    this.#warden = clientOf(path);
    this.manager = this.#create();
    const ended = this.manager.run(this.#ending.signal);
    t.teardown(async () => {
      this.#ending.abort();
      await ended;
      this.#warden.close();
    });
  }

  order(): void {
    const { fingerprint: from } = this.old;
    this.grant = { order: "5a".repeat(32), by: "ada", from, to: "tpm" };
    this.manager.wake();
  }

  /** Lets time pass as a device sees it that nobody disturbs: no timer is missed. */
  async until(what: string, holds: () => boolean): Promise<void> {
    await eventually(what, async () => {
      if (holds()) return true;
      await this.clock.advance(20_000);
      return undefined;
    });
  }

  #create(): IdentityManager {
    const files = fakeFiles();
    return createIdentityManager({
      warden: this.#warden,
      enroller: this.#enroller(),
      files,
      store: createCertificateStore(files),
      receipts: createCertificateReceipts(files),
      authority: this.#pki.authority.cert,
      enterpriseNumber: undefined,
      clock: this.clock,
      random: () => 0,
      clockTrusted: () => true,
      settleKey: async ({ protection } = this.birth) => {
        const key = this.stored.get(protection);
        if (key === undefined) throw new Fault("key.missing", "the recorded key is gone");
        return { key, made: false, note: undefined };
      },
      upgradeKeys: {
        strongest: async () => "tpm",
        make: async (to) => this.stored.set(to, this.better).get(to) ?? this.better,
        load: async (to) => this.stored.get(to),
        prepare: async () => undefined,
        remove: async (protection) => void this.stored.delete(protection),
      },
      note: ({ event }) => void this.events.push(event),
      onIdentity: async () => undefined,
      onProgress: () => undefined,
      onKeyFault: () => undefined,
      onCertificate: () => void this.#connect(),
      onCertificateLost: () => undefined,
      onTimeInDoubt: () => undefined,
      clockSynced: () => true,
    });
  }

  /** The broker: the first connection with the new key ends the old one. */
  async #connect(): Promise<void> {
    const { cert } = await this.manager.credentials();
    if (this.broker === "away") return;
    const certificate = new X509Certificate(cert);
    const fingerprint = keyFingerprint(certificate.publicKey.export({ format: "der", type: "spki" }));
    if (fingerprint === this.better.fingerprint) this.inForce = fingerprint;
    if (fingerprint !== this.inForce) return this.manager.refused(new Fault("tunnel.refused", "another key is in force"));
    const protection = fingerprint === this.old.fingerprint ? "file" : "tpm";
    this.accepted.push({ protection, serial: certificate.serialNumber });
    this.manager.connected();
  }

  #enroller(): Enroller {
    const certify = (request: Uint8Array): EnrolAnswer => {
      const [notBefore, notAfter] = [new Date(this.clock.nowMs() - 60_000), new Date(this.clock.nowMs() + 90 * DAY_MS)];
      const options = { commonName: "", names: [], usages: ["clientAuth"], notBefore, notAfter };
      const pem = issueFor(this.#directory, `issued-${(this.#issued += 1)}`, this.#pki.authority, request, options);
      return { kind: "issued", certificates: [new X509Certificate(pem).raw] };
    };
    return {
      name: "played",
      prepare: async () => undefined,
      enrol: async (request) => certify(request),
      renew: async (request, { certificate }) => {
        const isNew = keyFingerprint(parseRequest(request).publicKey) === this.better.fingerprint;
        this.shown.push({ key: isNew ? "tpm" : "file", serial: new X509Certificate(certificate).serialNumber });
        return isNew && this.answer === "wait"
          ? { kind: "later", code: "enrol.pending", retryAfterMs: 60_000 }
          : certify(request);
      },
    };
  }
}

async function deviceOf(t: Test): Promise<Device> {
  const auditKey = smallTrail(ID, 1).vkey;
  const served = await serveVerbs({
    "identity.read": async () => ({ identity: { id: ID, source: "serial", macs: [] }, birth: device.birth, auditKey }),
    "birth.record": async () => device.birth,
    "key.offer": async () => (device.grant === undefined ? {} : { grant: device.grant }),
    "birth.replace": async ({ protection, keyFingerprint: made }) => {
      device.birth = { ...device.birth, protection, keyFingerprint: made, previous: device.old.fingerprint };
      device.grant = undefined;
      return device.birth;
    },
  });
  t.teardown(() => served.remove());
  const device: Device = new Device(t, served.path);
  await eventually("the first connection", async () => (device.accepted.length > 0 ? true : undefined));
  return device;
}

test(
  "[ID-9] [ID-68] a renewal while the new key waits for its approval goes on, and its certificate is what is shown for the new key from then on",
  { skip },
  async (t) => {
    const device = await deviceOf(t);
    await device.until("the TPM beside the file", () => device.events.includes("key.file-beside-tpm"));
    t.match(device.manager.status().key, { protection: "file", upgrade: { to: "tpm", state: "possible" } });
    device.order();
    await device.until("a request for the new key", () => device.shown.some(({ key }) => key === "tpm"));
    const [first] = device.accepted;
    await device.clock.set(device.clock.nowMs() + 73 * DAY_MS);
    device.manager.wake();
    await device.until("the renewed certificate", () => device.events.includes("certificate.renewed"));
    t.match(device.manager.status(), {
      key: { protection: "file", upgrade: { state: "requesting" } },
      certificate: { state: "fresh" },
    });
    const renewed = device.accepted.at(-1);
    t.match(renewed, { protection: "file" });
    t.not(renewed?.serial, first?.serial);
    device.answer = "issue";
    await device.until("the new key", () => device.manager.status().key?.protection === "tpm");
    t.match(device.shown.at(-1), { key: "tpm", serial: renewed?.serial });
    t.match(device.accepted.at(-1), { protection: "tpm" });
    t.same([...device.stored.keys()], ["tpm"]);
    t.match(device.events, EVENTS);
    t.equal(device.manager.status().key?.upgrade, undefined);
    t.notOk(device.events.includes("certificate.expired"));
  },
);

test(
  "[ID-68] a hub that is away while the new key is to be proven sees the two keys take turns, and a renewal that is due waits for the old key's",
  { skip },
  async (t) => {
    const device = await deviceOf(t);
    device.answer = "issue";
    device.broker = "away";
    device.order();
    await device.until("the new key is tried", () => device.manager.presentedProtection() === "tpm");
    await device.clock.set(device.clock.nowMs() + 73 * DAY_MS);
    device.manager.wake();
    await device.until("the old key's turn", () => device.manager.presentedProtection() === "file");
    await device.until("the renewal", () => device.manager.status().certificate?.state === "proving");
    await device.clock.advance(2 * REST_MS);
    t.equal(device.manager.status().certificate?.state, "proving");
    t.equal(
      device.manager.presentedProtection(),
      "file",
      "the renewed certificate is of the old key, and has its turn until it is judged",
    );
    device.broker = "accepts";
    const { cert } = await device.manager.credentials();
    t.ok(cert, "the renewed certificate");
    device.manager.connected();
    await device.until("both", () => device.manager.status().key?.protection === "tpm");
    t.match(device.events, EVENTS);
  },
);

test("[ID-68] an order that is over while its key waits leaves the device as it was", { skip }, async (t) => {
  const device = await deviceOf(t);
  device.order();
  await device.until("a request for the new key", () => device.shown.length > 0);
  device.grant = undefined;
  await device.until("the end of the upgrade", () => device.events.includes("key.upgrade-failed"));
  t.same([...device.stored.keys()], ["file"]);
  t.match(device.manager.status().key, { protection: "file", upgrade: { state: "possible" } });
  t.ok(
    device.manager.status().faults.some(({ code }) => code === "key.file-beside-tpm"),
    "[ID-69] it is loud as before",
  );
});
