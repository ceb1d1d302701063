// An enrolled gateway, its hub, and the bare peer with an identity of its own at the same hub, for
// the measures of start-up time and steady memory.
import { chmod, copyFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { buildPrograms } from "../../build/bundle.ts";
import { assert, Fault } from "../../hal/fault.ts";
import { linuxSerialPort } from "../../hal/linux/serial/index.ts";
import { createEstEnroller } from "../../provisioning/enrollers/index.ts";
import { buildRequest } from "../../provisioning/x509/format/index.ts";
import { toPem } from "../lab/worlds/hub.ts";
import { memoryKey } from "../lab/fakes/keys.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually, type RunningProgram, startProgram } from "../lab/runner/process.ts";
import { startPtyPair } from "../lab/counterparts/pty.ts";
import { AGENT_UID, buildRig, type Rig, type RigOptions } from "../lab/worlds/rig.ts";
import type { Bench } from "./bench.ts";
import { buildLoad } from "./contender.ts";

export const BARE_ID = "bare-1";

export interface Gateway {
  readonly agentId: string;
  startWarden(): Promise<RunningProgram>;
  startAgent(): Promise<RunningProgram>;
  startBare(): RunningProgram;
  /** Resolves when the console writes to the serial line after this call. */
  consoleSpeaks(): Promise<void>;
  /**
   * Resolves with the time (performance.now) at which the hub first reports, after this call, that
   * it admitted the client.
   */
  letIn(id: string): Promise<number>;
}

/**
 * The agent has a file key and its console on a pseudo-terminal. When this resolves, only the hub
 * runs. @param starts how Node is started, where it is not as the units do it.
 */
export async function openGateway(bench: Bench, starts: RigOptions["starts"] = {}): Promise<Gateway> {
  const missing = needs("socat", "flock");
  assert(missing === false, `the gateway of the bench has real parts: it ${missing}`);
  await buildPrograms();
  const cable = await startPtyPair(process.getuid?.() === 0 ? { deviceUser: AGENT_UID } : {});
  bench.teardown(() => cable.stop());
  const door = watchDoor();
  const rig = await buildRig({
    hubArgs: ["--retry-after", "1"],
    starts,
    agentConfig: { key: { protection: "file" }, console: { path: cable.devicePath } },
    onLine: (program, line) => {
      if (program === "hub") door.line(line);
    },
  });
  bench.teardown(() => rig.stop());
  const technician = await listen(cable.hostPath);
  const hub = await rig.startHub();
  const ready = v.parse(readySchema, JSON.parse(await hub.line(/"ready"/u)));
  await giveDeviceItsOwnNode(rig);
  const agentId = await firstPowerOn(rig, bench.progress);
  const bare = await enrolBare(bench, rig, ready);
  return {
    agentId,
    letIn: door.letIn,
    startWarden: () => rig.startWarden(),
    startAgent: () => rig.startAgent(),
    consoleSpeaks: technician,
    startBare() {
      const started = startProgram({ name: "bare", ...bare });
      bench.teardown(async () => void (await started.stop()));
      return started;
    },
  };
}

const readySchema = v.looseObject({ estPort: v.number(), mqttPort: v.number() });
const openedSchema = v.looseObject({ name: v.literal("connection.opened"), deviceId: v.string() });

const TYPE_EVERY_MS = 500;

/** The other end of the serial line. @returns a function that waits for the next bytes. */
async function listen(path: string): Promise<() => Promise<void>> {
  const line = await linuxSerialPort({ path, baudRate: 115_200 }).open();
  const waiting = new Set<() => void>();
  void (async () => {
    for await (const bytes of line.input) {
      if (bytes.byteLength > 0) for (const heard of waiting) heard();
      waiting.clear();
    }
  })();
  return () =>
    within<void>("the console says something", (heard) => {
      // The console prints its hint once a minute at most, and a key that is pressed while the
      // agent opens the line is lost.
      const typing = setInterval(() => void line.write(Buffer.from("\r")).catch(() => undefined), TYPE_EVERY_MS);
      waiting.add(() => {
        clearInterval(typing);
        heard();
      });
    });
}

/** Both contenders are timed by the same source, the journal of the hub. */
function watchDoor(): { readonly line: (line: string) => void; readonly letIn: Gateway["letIn"] } {
  const waiting = new Map<string, (atMs: number) => void>();
  return {
    line(line) {
      const atMs = performance.now();
      if (!line.includes('"connection.opened"')) return;
      const { deviceId } = v.parse(openedSchema, JSON.parse(line));
      waiting.get(deviceId)?.(atMs);
      waiting.delete(deviceId);
    },
    letIn: (id) => within<number>(`the hub lets "${id}" in`, (opened) => waiting.set(id, opened)),
  };
}

const WAIT_MS_MAX = 60_000;

/** A promise that may be awaited after it failed: a fault in the meantime is reported first. */
function within<T>(what: string, begin: (settle: (value: T) => void) => void): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const late = setTimeout(() => reject(new Fault("process.timeout", `${what}: not within ${WAIT_MS_MAX} ms`)), WAIT_MS_MAX);
  late.unref();
  begin((value) => {
    clearTimeout(late);
    resolve(value);
  });
  promise.catch(() => undefined);
  return promise;
}

/**
 * A copy of Node for the device's programs. On a device, agent and warden share Node's code with
 * each other only. Here the hub and this bench run from the same file, so PSS would count only a
 * share of its pages. No other process maps the copy; the hub keeps the original.
 */
async function giveDeviceItsOwnNode(rig: Rig): Promise<void> {
  const node = join(rig.directory, "opt", "node");
  await copyFile(process.execPath, `${node}.own`);
  await chmod(`${node}.own`, 0o755);
  await rename(`${node}.own`, node);
}

/**
 * Enrols the gateway, connects once (the agent then remembers that this broker speaks MQTT 3.1.1
 * only), delivers its audit trail, and stops it.
 */
async function firstPowerOn(rig: Rig, progress: (text: string) => void): Promise<string> {
  progress("a gateway is powered on and enrolled");
  const warden = await rig.startWarden();
  const agent = await rig.startAgent();
  const { id } = await rig.hub.approve();
  await eventually("the tunnel is up", async () => ((await rig.status()).tunnel.state === "connected" ? true : undefined));
  await agent.stop();
  await warden.stop();
  return id;
}

interface BareCommand {
  readonly command: string;
  readonly args: readonly string[];
}

/**
 * The peer has an identity of its own, so that both can be connected at once, and a Node of its own
 * (see above).
 */
async function enrolBare(bench: Bench, rig: Rig, ports: v.InferOutput<typeof readySchema>): Promise<BareCommand> {
  const { authority } = await rig.hub.anchors();
  const key = memoryKey();
  const enroller = createEstEnroller({
    hub: { host: rig.hub.name, port: ports.estPort, authority, connectTo: { host: "127.0.0.1", port: ports.estPort } },
    signal: new AbortController().signal,
  });
  const request = await buildRequest(
    { commonName: BARE_ID, serialNumber: BARE_ID, uris: [], publicKey: key.publicKey, auditKey: undefined },
    key.sign,
  );
  await enroller.enrol(request);
  await rig.hub.command("devices", "approve", BARE_ID, key.fingerprint);
  const answer = await enroller.enrol(request);
  const certificate = answer.kind === "issued" ? answer.certificates[0] : undefined;
  assert(certificate !== undefined, "the hub certifies whom its operator approved");
  const file = async (name: string, text: string): Promise<string> => {
    const path = join(bench.directory, name);
    await writeFile(path, text, { mode: 0o600 });
    return path;
  };
  const node = join(bench.directory, "node");
  await copyFile(process.execPath, node);
  await chmod(node, 0o755);
  return {
    command: node,
    args: [
      await buildLoad(bench, "bare-session"),
      `${ports.mqttPort}`,
      BARE_ID,
      await file("authority.pem", authority),
      await file("bare.pem", toPem(certificate)),
      await file("bare.key", key.tlsKey()),
    ],
  };
}
