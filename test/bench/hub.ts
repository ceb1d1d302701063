// The hub beside a hostile device and a hostile stranger: what another device waits for a request,
// an enrolment and a message, against the quiet run. Also reconnections after a restart, memory of
// a connection, and witnessed records.
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { initHub } from "../../hub/index.ts";
import { loadAuthority } from "../../hub/authority/index.ts";
import { readRequest } from "../../hub/devices/index.ts";
import { openStore } from "../../hub/store/index.ts";
import { privateFile, STATE_FILES } from "../../hub/state/index.ts";
import { assert } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { startProgram, type RunningProgram } from "../lab/runner/process.ts";
import {
  ask,
  connect,
  type HubAddress,
  type LabClient,
  labDevice,
  type LabDevice,
  labLog,
  labMessage,
  simpleEnrol,
  toPem,
} from "../lab/worlds/hub.ts";
import * as v from "valibot";
import { hubAnchorsSchema } from "../../ota/format/anchors.ts";
import { bundleFile } from "../../build/bundle.ts";
import type { Bench, Measure } from "./bench.ts";
import { type Finding, finding, type Target } from "./finding.ts";
import { memoryOf } from "./memory.ts";

const BESIDE: Target = { of: "ratio", bound: 3, is: "at most" };
const HOSTILE = ["device", "stranger"] as const;

export const hub: Measure = {
  name: "hub",
  peers: [{ name: "quiet", does: "the same requests to the same hub", lacks: "no hostile device and no stranger beside them" }],
  how: "a hub process; another device's GET, enrolment and QoS 1 message at p99, while 8 connections of a captured device or of a stranger do their worst and have used up what they may do at once, against the quiet run before",
  async run(bench) {
    const [rounds, samples, fleet] = bench.quick ? [5, 100, 60] : [9, 200, 300];
    const world = await openWorld(bench, fleet);
    const findings: Finding[] = [];
    for (const kind of HOSTILE) {
      const [quiet, beside]: Waits[][] = [[], []];
      const busy: number[] = [];
      for (let round = 0; round < rounds; round++) {
        quiet?.push(await waits(bench, world, samples));
        const hostile = startHostile(bench, world, kind);
        await hostile.line(/^ready$/u);
        await new Promise((resolve) => setTimeout(resolve, BURST_MS));
        beside?.push(await waits(bench, world, samples));
        busy.push(await busyMs(world));
        await hostile.stop("SIGKILL");
        bench.progress(`hub beside a hostile ${kind}: round ${round + 1} of ${rounds}`);
      }
      for (const what of ["GET", "enrolment", "message"] as const) {
        const peer = { name: "quiet", values: (quiet ?? []).map((each) => each[what]) };
        const ours = (beside ?? []).map((each) => each[what]);
        findings.push(finding({ what: `${what} beside a hostile ${kind}, p99`, unit: "ms", ours, peer, target: BESIDE }));
      }
      findings.push(finding({ what: `processor time of the hub a second, for a hostile ${kind}`, unit: "ms", ours: busy }));
    }
    return [...findings, ...(await restarts(bench, world)), ...(await witnessed(bench, world, bench.quick ? 500 : 2000))];
  },
};

interface Enrolled {
  readonly device: LabDevice;
  readonly cert: string;
}

interface World {
  readonly state: string;
  readonly fleet: readonly Enrolled[];
  readonly start: () => Promise<void>;
  readonly stop: () => Promise<void>;
  readonly address: () => HubAddress;
  readonly pid: () => number;
}

/** p99 of each, in milliseconds. */
interface Waits {
  readonly GET: number;
  readonly enrolment: number;
  readonly message: number;
}

const readySchema = v.object({ estPort: v.number(), mqttPort: v.number(), anchors: hubAnchorsSchema });

async function openWorld(bench: Bench, count: number): Promise<World> {
  const state = join(bench.directory, "hub");
  const program = join(bench.directory, "hub-main.mjs");
  await bundleFile("hub/main.ts", program);
  await bundleFile("hub/store/thread.ts", join(bench.directory, "store-thread.js"));
  await initHub({ state, name: "bench hub", hosts: ["localhost", "127.0.0.1"] });
  const fleet = await approvedFleet(state, count);
  const running: { program?: RunningProgram; address?: HubAddress } = {};
  const args = (): readonly string[] => {
    const { estPort = 0, mqttPort = 0 } = running.address ?? {};
    return ["--est-port", String(estPort), "--mqtt-port", String(mqttPort)];
  };
  const world: World = {
    state,
    fleet,
    address: () => {
      assert(running.address !== undefined, "the hub was started");
      return running.address;
    },
    pid: () => {
      assert(running.program !== undefined, "the hub was started");
      return running.program.pid;
    },
    start: async () => {
      const started = startProgram({
        name: "hub",
        command: process.execPath,
        args: [program, "serve", "--state", state, "--listen", "127.0.0.1", "--json", ...args()],
        endsWithUs: true,
      });
      running.program = started;
      running.address = v.parse(readySchema, parseJson(Buffer.from(await started.line(/"ready"/u)), 65_536, "ready line"));
    },
    stop: async () => void (await running.program?.stop("SIGKILL")),
  };
  bench.teardown(() => world.stop());
  await world.start();
  return world;
}

/** Devices that an operator has approved, with certificates, written as the hub would. */
async function approvedFleet(state: string, count: number): Promise<readonly Enrolled[]> {
  const { issuer } = loadAuthority(state);
  const store = await openStore(privateFile(state, STATE_FILES.store));
  const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const fleet: Enrolled[] = [];
  for (let n = 0; n < count; n++) {
    const device = await labDevice(`gw-${n}`, { key });
    const { id, fingerprint, csr, request } = readRequest(device.csr);
    const { serialNumber, uris, auditKey } = request;
    const issued = issuer.issueDevice(request, Date.now(), 86_400_000);
    await store.commit(
      store.devices.request({ id, fingerprint, csr, serialNumber, uris, auditKey, address: "?", seenAtMs: 1 }),
      store.devices.decide(id, fingerprint, "approved", 1, "bench"),
      store.certificates.add(id, fingerprint, issued),
    );
    fleet.push({ device, cert: toPem(issued.der) });
  }
  await store.close();
  return fleet;
}

function member(world: World, n: number): Enrolled {
  const found = world.fleet[n];
  assert(found !== undefined, "the fleet has this device");
  return found;
}

function startHostile(bench: Bench, world: World, kind: (typeof HOSTILE)[number]): RunningProgram {
  const { device, cert } = member(world, 0);
  const { anchors, estPort, mqttPort } = world.address();
  const file = (name: string, text: string): string => {
    const path = join(bench.directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const files = [file("authority.pem", anchors.authority), file("hostile.pem", cert), file("hostile.key", device.keyPem)];
  return startProgram({
    name: `hostile ${kind}`,
    command: process.execPath,
    args: [join(import.meta.dirname, "load/hub-hostile.ts"), kind, String(mqttPort), String(estPort), device.id, ...files],
    endsWithUs: true,
  });
}

async function waits(bench: Bench, world: World, count: number): Promise<Waits> {
  const { device, cert } = member(world, 1);
  const { client } = await connect(bench, world.address(), device, cert);
  const get: number[] = [];
  const enrolment: number[] = [];
  const message: number[] = [];
  const time = async (into: number[], work: () => Promise<unknown>): Promise<void> => {
    const started = performance.now();
    await work();
    into.push(performance.now() - started);
  };
  for (let n = 0; n < count; n++) {
    // Each from an address of its own: the pace of an address is not what is measured.
    const asking = { from: `127.1.${n >> 8}.${(n & 0xff) + 1}` };
    await time(get, () => ask(world.address(), "/healthz", asking));
    // A device repeats its request, as it does until it is approved; each time another one.
    const { csr } = member(world, 2 + (n % (world.fleet.length - 2))).device;
    await time(enrolment, () => simpleEnrol(world.address(), csr, asking));
    const text = labMessage({ kind: "bench" });
    await time(message, () => client.publishAsync(`sallyport/1/${device.id}/up/event`, text, { qos: 1 }));
  }
  await client.endAsync();
  return { GET: p99(get), enrolment: p99(enrolment), message: p99(message) };
}

/** By then a hostile peer has used up its bursts: some 500 handshakes and 1,000 requests. */
const BURST_MS = 3000;
const BUSY_MS = 1000;
/** A tick of `/proc/PID/stat`: USER_HZ is 100 on every Linux. */
const TICK_MS = 10;

/** Processor time that the hub uses in a second in which nobody but the hostile peer is there. */
async function busyMs(world: World): Promise<number> {
  const spent = async (): Promise<number> => {
    const fields = (await readFile(`/proc/${world.pid()}/stat`, "utf8")).split(") ")[1]?.split(" ") ?? [];
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS; // utime, stime: proc_pid_stat(5)
  };
  const [before, started] = [await spent(), performance.now()];
  await new Promise((resolve) => setTimeout(resolve, BUSY_MS));
  return (((await spent()) - before) / (performance.now() - started)) * 1000;
}

function p99(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * 0.99) - 1)] ?? NaN;
}

/** All devices of the fleet connect at once after the hub was killed. */
async function restarts(bench: Bench, world: World): Promise<readonly Finding[]> {
  await world.stop();
  await world.start();
  const others = world.fleet.slice(2);
  // What only the first connections cost, such as compiled code, is not counted.
  const first = others.splice(0, Math.ceil(others.length / 3));
  const connected: LabClient[] = [];
  const connectAll = async (devices: readonly Enrolled[]): Promise<void> => {
    const connections = await Promise.all(
      devices.map(({ device, cert }) => connect(bench, world.address(), device, cert, { connectTimeout: 60_000 })),
    );
    assert(
      connections.every(({ connack }) => connack === 0),
      "every device is admitted",
    );
    connected.push(...connections);
  };
  const started = performance.now();
  await connectAll(first);
  const before = await memoryOf(world.pid());
  await connectAll(others);
  const seconds = (performance.now() - started) / 1000;
  const { rssBytes } = await memoryOf(world.pid());
  for (const { client } of connected) client.end(true);
  return [
    finding({
      what: "devices that reconnect after a restart",
      unit: "/s",
      ours: [(first.length + others.length) / seconds],
    }),
    finding({
      what: "memory of the hub for each further connection",
      unit: "bytes",
      ours: [(rssBytes - before.rssBytes) / others.length],
    }),
  ];
}

/** One device's log in deliveries of 50 records, one after the other. */
async function witnessed(bench: Bench, world: World, count: number): Promise<readonly Finding[]> {
  const { device, cert } = member(world, 1);
  const log = labLog(device, count);
  const { client } = await connect(bench, world.address(), device, cert);
  await client.subscribeAsync(`sallyport/1/${device.id}/down/audit`, { qos: 1 });
  const deliveries = Array.from({ length: count / 50 }, (_, n) => labMessage(log.delivery(50 * n, 50 * (n + 1))));
  const started = performance.now();
  for (const delivery of deliveries) {
    const answer = new Promise<string>((resolve) => client.once("message", (_topic, payload) => resolve(payload.toString())));
    await client.publishAsync(`sallyport/1/${device.id}/up/audit`, delivery, { qos: 1 });
    assert((await answer).includes("cosigned"), "every delivery is cosigned");
  }
  const seconds = (performance.now() - started) / 1000;
  await client.endAsync();
  return [finding({ what: "audit records witnessed", unit: "/s", ours: [count / seconds] })];
}
