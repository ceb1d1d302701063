// A device whose key is upgraded, with its warden and hub played: every change of theirs can be the
// last one before the power goes.
import { X509Certificate } from "node:crypto";
import type { Test } from "tap";
import { Fault, type FaultCode } from "../../../hal/fault.ts";
import type { Fingerprint, Protection } from "../../../hal/format/identity.ts";
import type { DeviceKey, DurableFiles } from "../../../hal/ports.ts";
import { createCertificateReceipts, createCertificateStore } from "../../../provisioning/certificate/index.ts";
import type { EnrolAnswer } from "../../../provisioning/enrollers/index.ts";
import { type Granted, type KeyUpgrade, openKeyUpgrade, type UpgradeNeed } from "../../../provisioning/upgrade/index.ts";
import { buildRequest } from "../../../provisioning/x509/format/index.ts";
import { issueFor, makePki } from "../counterparts/pki.ts";
import { type FakeClock, fakeClock } from "../fakes/clock.ts";
import { fakeFiles, type FakeFiles } from "../fakes/files.ts";
import { type MemoryKey, memoryKey } from "../fakes/keys.ts";

const DEVICE = "gw-1";
const ORDER = "5a".repeat(32);
const DAY_MS = 86_400_000;

/** The power goes: nothing after this line is done. It is no Fault, so nobody handles it. */
class PowerCut extends Error {
  override readonly name = "PowerCut";
}

export interface UpgradeWorld {
  readonly files: FakeFiles;
  readonly clock: FakeClock;
  /** The keys in the stores of the device. */
  readonly stored: Map<Protection, DeviceKey>;
  readonly warden: {
    recorded: { readonly protection: Protection; readonly keyFingerprint: Fingerprint };
    granted: Granted | undefined;
  };
  readonly hub: {
    /** The key that the hub accepts, and one beside it until its first connection. */
    inForce: Fingerprint;
    beside: Fingerprint | undefined;
    /** How it answers the next request for a certificate. */
    answer: "issue" | "wait" | FaultCode;
    /** How it answers connections with a new key. */
    broker: "accepts" | "refuses" | "away";
    readonly asked: string[];
  };
  /** Fault of the store of new keys; undefined while it works. */
  chip: FaultCode | undefined;
  readonly outcomes: string[];
  readonly old: MemoryKey;
  /** Changes until the power goes; undefined: it stays. */
  cutAfter: number | undefined;
  clockTrusted: boolean;
  /** Powers the device on. It runs until nothing but time moves it, or the power goes. */
  run(options?: { readonly forMs?: number }): Promise<"cut" | "rests">;
  /** The fingerprint that the device connects with now. */
  presents(): Fingerprint;
  upgrade(): KeyUpgrade;
}

interface Made {
  readonly key: MemoryKey;
  readonly der: Uint8Array;
  readonly pem: string;
}

/** Keys with certificates are costly to make, so that a test file makes them once. */
export async function upgradeKeyPool(
  t: Test,
  count = 3,
): Promise<{ readonly authority: string; readonly keys: readonly Made[] }> {
  const directory = t.testdir();
  const pki = makePki(directory);
  const make = async (n: number): Promise<Made> => {
    const key: MemoryKey = n === 0 ? memoryKey() : { ...memoryKey(), protection: "tpm" };
    const common = { serialNumber: undefined, uris: [], auditKey: undefined, protection: undefined };
    const request = await buildRequest({ ...common, commonName: DEVICE, publicKey: key.publicKey }, key.sign);
    const [notBefore, notAfter] = [new Date(Date.now() - DAY_MS), new Date(Date.now() + 90 * DAY_MS)];
    const options = { commonName: "", names: [], usages: ["clientAuth"], notBefore, notAfter };
    const pem = issueFor(directory, `key-${n}`, pki.authority, request, options);
    return { key, der: new X509Certificate(pem).raw, pem };
  };
  const keys: Made[] = [];
  for (let n = 0; n < count; n++) keys.push(await make(n));
  return { authority: pki.authority.cert, keys };
}

export async function upgradeWorld({ authority, keys }: Awaited<ReturnType<typeof upgradeKeyPool>>): Promise<UpgradeWorld> {
  const [first] = keys;
  if (first === undefined) throw new Fault("assert.broken", "the pool has keys");
  const files = fakeFiles();
  const clock = fakeClock(Date.now());
  await createCertificateStore(files).putCurrent(first.pem);
  const old = first.key;
  let current: KeyUpgrade | undefined;
  let candidate: DeviceKey | undefined;
  let next = 1;

  /** Every change of anything durable goes through here, before and after it is made. */
  const change = async <T>(work: () => T | Promise<T>): Promise<T> => {
    cut();
    const result = await work();
    cut();
    return result;
  };
  const cut = (): void => {
    if (world.cutAfter === undefined) return;
    if (world.cutAfter === 0) throw new PowerCut("the power goes");
    world.cutAfter -= 1;
  };
  const disk: DurableFiles = {
    get: (name, bytesMax) => files.get(name, bytesMax),
    put: (name, bytes) => change(() => files.put(name, bytes)),
    remove: (name) => change(() => files.remove(name)),
  };
  const needChip = (): void => {
    if (world.chip !== undefined) throw new Fault(world.chip, "the TPM is not there");
  };
  const request = async (key: DeviceKey, way: "renew" | "enrol"): Promise<EnrolAnswer> => {
    const { hub } = world;
    hub.asked.push(way);
    if (hub.answer === "wait") return { kind: "later", code: "enrol.pending", retryAfterMs: 60_000 };
    if (hub.answer !== "issue") throw new Fault(hub.answer, "the hub refuses");
    if (way === "renew" && hub.inForce !== old.fingerprint) throw new Fault("enrol.unauthorized", "the old key is over");
    const made = keys.find((each) => each.key.fingerprint === key.fingerprint);
    if (made === undefined) throw new Fault("assert.broken", "the pool has the key");
    await change(() => {
      if (hub.inForce !== key.fingerprint) hub.beside = key.fingerprint;
    });
    return { kind: "issued", certificates: [made.der] };
  };
  const open = (): Promise<KeyUpgrade> =>
    openKeyUpgrade({
      files: disk,
      store: createCertificateStore(disk),
      receipts: createCertificateReceipts(disk),
      clock,
      random: () => 0.5,
      clockTrusted: () => world.clockTrusted,
      expected: { deviceId: DEVICE, authority },
      keys: {
        make: async (to) => {
          needChip();
          const there = world.stored.get(to);
          if (there !== undefined) return there;
          const made = keys[next++]?.key;
          if (made === undefined) throw new Fault("assert.broken", "the pool has a further key");
          await change(() => world.stored.set(to, made));
          return made;
        },
        load: async (to) => {
          needChip();
          return world.stored.get(to);
        },
        prepare: async () => undefined,
        remove: (protection) => change(() => void world.stored.delete(protection)),
      },
      request,
      replace: async ({ protection, fingerprint }) => {
        const { warden } = world;
        if (warden.recorded.keyFingerprint === fingerprint) return;
        if (warden.granted?.from !== warden.recorded.keyFingerprint) throw new Fault("birth.conflict", "no order allows it");
        await change(() => {
          warden.recorded = { protection, keyFingerprint: fingerprint };
          warden.granted = undefined;
        });
      },
      report: ({ kind }) => void world.outcomes.push(kind),
    });

  /** A connection with the new key, as the hub judges it. */
  const connect = async (upgrade: KeyUpgrade, key: DeviceKey): Promise<UpgradeNeed> => {
    const { hub } = world;
    if (hub.broker === "away") return { need: "nothing" };
    if (hub.broker === "refuses") return await upgrade.rejected();
    if (hub.beside === key.fingerprint)
      await change(() => {
        hub.inForce = key.fingerprint;
        hub.beside = undefined;
      });
    return hub.inForce === key.fingerprint ? await upgrade.accepted() : await upgrade.rejected();
  };

  const follow = async (upgrade: KeyUpgrade, need: UpgradeNeed): Promise<void> => {
    if (need.need === "connect-with-old" || need.need === "switched") candidate = undefined;
    if (need.need !== "connect-with-new") return;
    candidate = need.key;
    await follow(upgrade, await connect(upgrade, need.key));
  };

  const live = async (forMs: number): Promise<void> => {
    candidate = undefined;
    const upgrade = await open();
    current = upgrade;
    await upgrade.settle(world.warden.recorded);
    for (let passedMs = 0; ;) {
      await follow(upgrade, await upgrade.look(world.warden.recorded, world.warden.granted));
      await follow(upgrade, await upgrade.tick());
      // the broker tells a device with the old key that it is over
      if (candidate === undefined && world.hub.inForce !== old.fingerprint && upgrade.state().at === "proving")
        await follow(upgrade, await upgrade.oldRefused());
      const dueMs = upgrade.dueInMs();
      if (upgrade.state().at === "idle" || passedMs + dueMs > forMs) return;
      await clock.advance(dueMs);
      passedMs += dueMs;
    }
  };

  const world: UpgradeWorld = {
    files,
    clock,
    stored: new Map([["file", old]]),
    warden: {
      recorded: { protection: "file", keyFingerprint: old.fingerprint },
      granted: { order: ORDER, from: old.fingerprint, to: "tpm" },
    },
    hub: { inForce: old.fingerprint, beside: undefined, answer: "issue", broker: "accepts", asked: [] },
    chip: undefined,
    outcomes: [],
    old,
    cutAfter: undefined,
    clockTrusted: true,
    run: async ({ forMs = 3_600_000 } = {}) => {
      try {
        await live(forMs);
        return "rests";
      } catch (error) {
        if (error instanceof PowerCut) return "cut";
        throw error;
      }
    },
    presents: () => (candidate ?? world.stored.get(world.warden.recorded.protection) ?? old).fingerprint,
    upgrade: () => {
      if (current === undefined) throw new Fault("assert.broken", "the device was powered on");
      return current;
    },
  };
  return world;
}
