// A whole warden in this process: every service on real or played files, a played machine, and a
// clock that a test moves.
import * as v from "valibot";
import { createDamageLog } from "../../../hal/damaged-files.ts";
import type { ChipReader } from "../../../hal/chip.ts";
import { Fault } from "../../../hal/fault.ts";
import type { AppendFiles, DurableFiles, NetworkFacts, Power, TpmChip } from "../../../hal/ports.ts";
import { type AuditRecord, decodeAuditRecord, readSegment } from "../../../warden/audit/format/index.ts";
import type { AuditLimits } from "../../../warden/audit/index.ts";
import { wardenAnswerSchema } from "../../../warden/protocol/format.ts";
import { clockBounds } from "../../../warden/time/index.ts";
import { openWarden, type Warden } from "../../../warden/warden.ts";
import { makeSigner, type Signer } from "../counterparts/hub-signer.ts";
import { type FakeFirewall, fakeFirewall } from "../counterparts/network-probe.ts";
import { type LabRepository, labRepository, NOW_MS } from "../counterparts/repository.ts";
import { type FakeClock, fakeClock } from "../fakes/clock.ts";
import { type FakeAppendFiles, fakeAppendFiles, type FakeFiles, fakeFiles } from "../fakes/files.ts";
import { type FakeUsbTree, fakeUsbTree } from "../fakes/usb-tree.ts";
import type { TestContext } from "../runner/context.ts";
import { NO_USB, policyBytes } from "./lockdown.ts";

const BOOT_ID = "0f0e0d0c-0b0a-4908-8706-050403020100";
const HARDWARE = "lab-1";

/** The directories of a warden. */
export interface WardenFiles {
  readonly state: DurableFiles;
  readonly birth: DurableFiles;
  readonly audit: AppendFiles;
  readonly targets: DurableFiles;
  readonly lockdown: DurableFiles;
  readonly update: DurableFiles;
}

export interface WholeWarden {
  readonly clock: FakeClock;
  readonly firewall: FakeFirewall;
  readonly usb: FakeUsbTree;
  readonly repository: LabRepository;
  readonly hub: { readonly time: Signer; readonly witness: Signer };
  /** What lies in the hand-over directory, by name. */
  readonly dropped: Map<string, Uint8Array>;
  /** Lines of the journal. */
  readonly journal: string[];
  /** What a request for a reboot does. */
  reboot: Power["reboot"];
  network: NetworkFacts;
  /** The TPM; undefined where the configuration names none. */
  chip: ChipReader | undefined;
  /** The same TPM for its owner. */
  tpm: TpmChip | undefined;
  /** Starts the warden on `files`, as after a power-on. The one before must be stopped. */
  start(files: WardenFiles, audit?: Partial<AuditLimits>): Promise<RunningWarden>;
}

export interface RunningWarden {
  readonly warden: Warden;
  /** @returns the answer, parsed. The first request of a connection is made for the caller. */
  ask(verb: string, args: unknown): Promise<WardenAnswer>;
  stop(): Promise<void>;
}

export interface WardenAnswer {
  readonly result?: Readonly<Record<string, unknown>>;
  readonly fault?: { readonly code: string; readonly message: string };
}

/**
 * An agent that brings what the warden wants until nothing is.
 * @returns the code of the fault that ended it, if one did.
 */
export async function broughtTo(
  { repository, dropped }: WholeWarden,
  warden: RunningWarden,
  verb: string,
  args: object,
): Promise<string | undefined> {
  const absent: string[] = [];
  dropped.clear();
  for (let n = 0; n < 40; n++) {
    const { result, fault } = await warden.ask(verb, { ...args, absent });
    if (result?.["state"] !== "wanted") return fault?.code;
    const path = String(result["path"]);
    const bytes = repository.files.get(path.replace("metadata/", "")) ?? repository.payloads.get(path.replace("targets/", ""));
    if (bytes === undefined) absent.push(path);
    else dropped.set(String(result["handoverName"]), bytes);
  }
  return "process.timeout";
}

export interface MemoryFiles extends WardenFiles {
  readonly state: FakeFiles;
  readonly birth: FakeFiles;
  readonly audit: FakeAppendFiles;
  readonly targets: FakeFiles;
  readonly lockdown: FakeFiles;
  readonly update: FakeFiles;
}

export function filesInMemory(): MemoryFiles {
  return {
    state: fakeFiles(),
    birth: fakeFiles(),
    audit: fakeAppendFiles(),
    targets: fakeFiles(),
    lockdown: fakeFiles(),
    update: fakeFiles(),
  };
}

export function wholeWarden(t: TestContext, deviceId = "GW-4711"): WholeWarden {
  const repository = labRepository();
  const running = new Set<RunningWarden>();
  const world: WholeWarden = {
    clock: fakeClock(NOW_MS),
    firewall: fakeFirewall(),
    usb: fakeUsbTree({ ...NO_USB, controllers: [{ name: "usb1", authorizedDefault: 1 }] }),
    repository,
    hub: { time: makeSigner("hub.example/time", "ed25519"), witness: makeSigner("hub.example/witness", "cosignature/v1") },
    dropped: new Map(),
    journal: [],
    reboot: async () => undefined,
    chip: undefined,
    tpm: undefined,
    network: {
      links: [{ name: "eth0", usb: undefined, dhcp4: "unused", dhcp6: "unused", below: [] }],
      routes: [{ link: "eth0", family: 4, bytes: [0, 0, 0, 0], length: 0 }],
      ways: [],
      detours: [],
      nameServers: [],
      nameService: "unused",
      dnsOverTls: "unused",
    },
    start: async (files, audit = {}) => {
      const warden = await open(world, files, deviceId, audit);
      const ending = new AbortController();
      const answers = new Map<number, (answer: WardenAnswer) => void>();
      const session = warden.openSession(async (line) => {
        const { id, ...answer } = v.parse(wardenAnswerSchema, JSON.parse(line));
        answers.get(id)?.(answer);
      }, ending.signal);
      let lastId = 0;
      const ask = async (verb: string, args: unknown): Promise<WardenAnswer> => {
        const id = ++lastId;
        const { promise, resolve } = Promise.withResolvers<WardenAnswer>();
        answers.set(id, resolve);
        const goesOn = await session.receive(Buffer.from(JSON.stringify({ id, verb, args })));
        if (!goesOn) resolve({ fault: { code: "protocol.closed", message: "the warden ended the connection" } });
        const answer = await promise;
        answers.delete(id);
        return answer;
      };
      const started: RunningWarden = {
        warden,
        ask,
        stop: async () => {
          if (!running.delete(started)) return;
          ending.abort();
          await warden.stop("SIGTERM");
        },
      };
      running.add(started);
      t.teardown(() => started.stop());
      await ask("hello", { protocol: 1, program: "test" });
      return started;
    },
  };
  return world;
}

/** Every record in `files`, oldest first. */
export function recordsIn({ contents }: FakeAppendFiles): readonly AuditRecord[] {
  return segmentsOf(contents).flatMap((bytes) => readSegment(bytes).records.map((record) => decodeAuditRecord(record)));
}

/** Bytes of the segments in `files`, by the source of their records. */
export function recordBytesIn({ contents }: FakeAppendFiles): { readonly warden: number; readonly agent: number } {
  const bytes = { warden: 0, agent: 0 };
  for (const segment of segmentsOf(contents))
    for (const record of readSegment(segment).records) bytes[decodeAuditRecord(record).source] += record.byteLength;
  return bytes;
}

function segmentsOf(contents: ReadonlyMap<string, Uint8Array>): readonly Uint8Array[] {
  const names = [...contents.keys()].filter((name) => name.startsWith("segment-")).sort();
  return names.map((name) => contents.get(name) ?? new Uint8Array());
}

function notPlayed(what: string): () => Promise<never> {
  return async () => {
    throw new Fault("process.failed", `${what}: not played here`);
  };
}

async function open(world: WholeWarden, files: WardenFiles, serial: string, audit: Partial<AuditLimits>): Promise<Warden> {
  const { clock, firewall, usb, hub, dropped, journal, repository } = world;
  return await openWarden(
    {
      state: files.state,
      birth: files.birth,
      auditLog: files.audit,
      clock,
      hardware: {
        facts: async () => ({ commissionedId: undefined, serials: [serial], interfaces: [], model: undefined }),
        bootId: async () => BOOT_ID,
      },
      vitals: {
        read: async () => ({ uptimeS: 100, load1: 0, memoryTotalBytes: 1, memoryAvailableBytes: 1, residentBytes: 1 }),
      },
      machine: {
        files: { targets: files.targets, lockdown: files.lockdown, update: files.update },
        handover: { take: async (name) => dropped.get(name) },
        firewall,
        deadManSwitch: undefined,
        heartbeat: () => undefined,
        usb,
        chip: world.chip,
        network: { read: async () => world.network },
        slots: { running: async () => "a" },
        boot: {
          read: async () => ({ committed: "a", trial: undefined }),
          tryOnce: async () => undefined,
          commit: async () => undefined,
          cancel: async () => undefined,
        },
        power: { reboot: (reason) => world.reboot(reason) },
        installer: notPlayed("start the installer"),
        uptimeMs: async () => clock.monotonicMs(),
        bootId: async () => BOOT_ID,
      },
      tpm: world.tpm,
      say: (line) => void journal.push(line),
      damage: createDamageLog((fault) => void journal.push(`trouble: ${fault.code}: ${fault.message}`)),
    },
    {
      program: "sallyport-warden/test",
      bounds: clockBounds(NOW_MS - 86_400_000),
      hubKeys: {
        time: hub.time.verifier,
        witness: hub.witness.verifier,
        place: { host: "hub.example", estPort: 8443, mqttPort: 8883 },
      },
      clockOutlivesUs: true,
      audit,
      configHash: "00".repeat(32),
      machine: {
        image: { v: 1, version: "1.0", hardware: HARDWARE, counter: 1 },
        trustRoot: repository.imageRoot,
        basePolicy: policyBytes({ usb: {} }),
        hubEndpoints: [{ address: undefined, port: 8883 }],
        console: "ttyS0",
        approval: "signed",
        checks: ["agent"],
        trialMs: 60_000,
      },
      tpmOwnership: "take",
      escrowKey: undefined,
      troubles: [],
    },
  );
}
