// A whole small world for demo, bench and system tests: the hub as a server, a board, its warden and agent, all as processes of their own from the bundles.
import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chmod, chown, copyFile, cp, link, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { Fault } from "../../../hal/fault.ts";
import { parseJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { type DeviceStatus, deviceStatusSchema } from "../../../agent/status/format.ts";
import { askLocal } from "../../../agent/local/index.ts";
import { operationAnswerSchema, type OperationName } from "../../../agent/operations/format.ts";
import type { ImageFacts } from "../../../ota/image/format.ts";
import { type Board, type BoardOptions, buildBoard, HARDWARE } from "./board.ts";
import { tpm2Provider } from "../runner/needs.ts";
import { type HubProcess, openHubProcess } from "./hub-process.ts";
import { boardPolicy, makeKeyHolder, type KeyHolder } from "../counterparts/operator-keys.ts";
import { environment, HANG_MS, type RunningProgram, startProgram } from "../runner/process.ts";
import { openReleaseTool, type ReleaseTool } from "./release-tool.ts";
import { PROJECT } from "../runner/sources.ts";
import { readSystemHeader } from "./system-image.ts";

/** The agent's user where we are root: a number is enough, no account is made. */
export const AGENT_UID = 64_199;

export interface RigOptions {
  readonly serial?: string | undefined;
  readonly mac?: string;
  /** Where the hub listens; in its certificate's names too. */
  readonly hubAddress?: string;
  /** Days a device certificate holds. */
  readonly hubArgs?: readonly string[];
  /** The board's TPM, as tpm2-tss names it: the provider is installed on the board, and the key may lie in the TPM. */
  readonly tpm?: string | undefined;
  /** Put over the agent's configuration. */
  readonly agentConfig?: Readonly<Record<string, unknown>>;
  readonly wardenConfig?: Readonly<Record<string, unknown>>;
  /** Words before the command, such as `ip netns exec NAME`, for the board's programs. */
  readonly boardPrefix?: readonly string[];
  /** The same for the warden alone, after the board's. */
  readonly wardenPrefix?: readonly string[];
  /** The image's lockdown policy, put over the lab's own; given who may confirm. */
  readonly basePolicy?: (confirmer: KeyHolder) => Readonly<Record<string, unknown>>;
  readonly agentEnv?: Readonly<Record<string, string>>;
  readonly wardenEnv?: Readonly<Record<string, string>>;
  readonly onLine?: (program: "hub" | "warden" | "agent", line: string) => void;
}

export interface Rig {
  readonly directory: string;
  readonly board: Board;
  /** As two users: true where we are root. */
  readonly twoUsers: boolean;
  /** The board's network namespace, where it has one: then its packet filter is the kernel's own. */
  readonly namespace: string | undefined;
  /** Who signs releases; its root is in the image. Nothing is published until the hub is told to. */
  readonly release: ReleaseTool;
  /** Whose key confirms the image's policy. */
  readonly confirmer: KeyHolder;
  /** Started by `startHub`, which lets the board's programs find it. */
  readonly hub: Omit<HubProcess, "start">;
  startHub(): Promise<RunningProgram>;
  /** Resolves when it listens; the agent's when its life has begun. */
  startWarden(): Promise<RunningProgram>;
  startAgent(): Promise<RunningProgram>;
  /** The same at once, come what may. `instead`: another command in its place. */
  launchWarden(instead?: readonly string[]): RunningProgram;
  launchAgent(instead?: readonly string[]): RunningProgram;
  /** Another board, never powered on, in the place of the first; its programs must not run. */
  replaceBoard(serial: string): Promise<void>;
  /** Puts other settings over the rig's own than its options did; what starts next has them. */
  configure(settings: Pick<RigOptions, "agentConfig" | "wardenConfig">): Promise<void>;
  /** Runs `sallyport` against the board's agent. */
  command(...args: readonly string[]): { readonly code: number | null; readonly stdout: string; readonly stderr: string };
  /** Runs one of the board's programs with `--check-config`, as whoever we are. */
  check(name: "agent" | "warden"): { readonly code: number | null; readonly stdout: string; readonly stderr: string };
  /** The agent's status through its local socket. */
  status(): Promise<DeviceStatus>;
  /** Asks the agent through its local socket, as local root. @throws Fault: the one it answers with. */
  ask<const S extends v.GenericSchema>(
    operation: OperationName,
    schema: S,
    args?: Readonly<Record<string, unknown>>,
  ): Promise<v.InferOutput<S>>;
  /** Stops everything and removes the directory. */
  stop(): Promise<void>;
}

export const DEFAULT_MAC = "00:1b:21:3a:4f:58";
/** As docs/operations.md says to start them: V8's young generation otherwise grows with every burst of messages and never shrinks. */
const NODE_FLAGS = ["--max-semi-space-size=4"];

/** Makes the directories and configurations and initialises the hub; starts nothing yet. */
export async function buildRig(options: RigOptions = {}): Promise<Rig> {
  const directory = await mkdtemp(join(tmpdir(), "sallyport-"));
  await chmod(directory, 0o711);
  const twoUsers = process.getuid?.() === 0;
  const node = await installNode(directory);
  await installBundles(directory);
  const provider = options.tpm === undefined ? undefined : await installProvider(directory);
  const board = await buildBoard({
    directory,
    serial: "serial" in options ? options.serial : "SPG2-0A1B2C3D",
    mac: options.mac ?? DEFAULT_MAC,
  } satisfies BoardOptions);
  await shareOut(board, twoUsers);
  const release = await openReleaseTool(join(directory, "release"));
  const confirmer = await makeKeyHolder(directory, "confirmer");
  await layImageFiles(board, release, boardPolicy(confirmer, options.basePolicy?.(confirmer)));
  const namespace = namespaceOf(options.boardPrefix);
  const address = options.hubAddress ?? "127.0.0.1";
  const program = (name: string): string => join(directory, "opt", name, "main.js");
  const running = new Set<RunningProgram>();
  const keep = (started: RunningProgram): RunningProgram => {
    running.add(started);
    return started;
  };
  const prefix = options.boardPrefix ?? [];
  const start = (name: "warden" | "agent", command: readonly string[]): RunningProgram => {
    const [first, ...args] = command;
    if (first === undefined) throw new Fault("assert.broken", "a program to start");
    return keep(
      startProgram({
        name,
        command: first,
        args,
        onLine: (line) => options.onLine?.(name, line),
      }),
    );
  };

  const run = (
    name: string,
    args: readonly string[],
  ): { readonly code: number | null; readonly stdout: string; readonly stderr: string } => {
    const { status, stdout, stderr } = spawnSync("/usr/bin/env", ["-i", ...environment(), node, program(name), ...args], {
      encoding: "utf8",
      timeout: HANG_MS,
    });
    return { code: status, stdout, stderr };
  };
  const desk = await openHubProcess({
    state: join(directory, "hub"),
    address,
    args: options.hubArgs ?? [],
    node,
    program: program("sallyport-hub"),
    onLine: (line) => options.onLine?.("hub", line),
  });
  const { ports } = desk;
  const handover = join(board.agentState, "handover");
  const settings: { over: Pick<RigOptions, "agentConfig" | "wardenConfig"> } = { over: options };

  const writeConfigs = async (): Promise<void> => {
    const anchorsFile = join(board.etc, "hub.json");
    await writeFile(anchorsFile, JSON.stringify(await desk.anchors()), { mode: 0o644 });
    const wardenConfig = {
      stateDirectory: board.wardenState,
      birthDirectory: board.birth,
      socket: join(board.run, "warden.sock"),
      anchors: anchorsFile,
      boardRoot: board.root,
      setClock: false,
      image: join(board.etc, "image.json"),
      trustRoot: join(board.etc, "root.json"),
      basePolicy: join(board.etc, "policy.json"),
      handover,
      ...settings.over.wardenConfig,
      lockdown: {
        firewall: namespace === undefined ? "none" : "nft",
        // the hub took ports that were free, not those of its anchors
        hubEndpoints: Object.values(ports)
          .filter((port) => port > 0)
          .map((port) => ({ address, port })),
        ...memberOf(settings.over.wardenConfig, "lockdown"),
      },
      update: { installer: program("sallyport-install"), ...memberOf(settings.over.wardenConfig, "update") },
    };
    const agentConfig = {
      stateDirectory: board.agentState,
      wardenSocket: join(board.run, "warden.sock"),
      localSocket: join(board.agentRun, "root.sock"),
      anchors: anchorsFile,
      enrolment: { connectTo: { host: address, port: ports.est } },
      handover,
      trustRoot: join(board.etc, "root.json"),
      ...(provider !== undefined && { key: { protection: "auto", tpm: { tcti: options.tpm, ...provider } } }),
      ...settings.over.agentConfig,
      tunnel: { connectTo: { host: address, port: ports.mqtt }, ...memberOf(settings.over.agentConfig, "tunnel") },
    };
    await writeFile(join(board.etc, "warden.json"), JSON.stringify(wardenConfig, undefined, 2), { mode: 0o644 });
    await writeFile(join(board.etc, "agent.json"), JSON.stringify(agentConfig, undefined, 2), { mode: 0o644 });
  };

  const rig: Rig = {
    directory,
    board,
    twoUsers,
    namespace,
    release,
    confirmer,
    hub: desk,
    async startHub() {
      const hub = keep(await desk.start());
      await writeConfigs();
      return hub;
    },
    async startWarden() {
      const warden = rig.launchWarden();
      await warden.line(/listening|serving|ready/iu);
      return warden;
    },
    async startAgent() {
      const agent = rig.launchAgent();
      await agent.line(/started/u);
      return agent;
    },
    launchWarden: (instead = [node, ...NODE_FLAGS, program("sallyport-warden"), "--config", join(board.etc, "warden.json")]) =>
      start("warden", [...prefix, ...(options.wardenPrefix ?? []), ...withEnvironment(options.wardenEnv), ...instead]),
    launchAgent(instead = [node, ...NODE_FLAGS, program("sallyport-agent"), "--config", join(board.etc, "agent.json")]) {
      const privileges = twoUsers
        ? [
            "/usr/bin/setpriv",
            `--reuid=${AGENT_UID}`,
            `--regid=${AGENT_UID}`,
            "--clear-groups",
            "--no-new-privs",
            "--bounding-set=-all",
            "--",
          ]
        : [];
      return start("agent", [...prefix, ...privileges, ...withEnvironment(options.agentEnv), ...instead]);
    },
    async replaceBoard(serial) {
      for (const place of [board.agentState, board.wardenState, board.birth])
        for (const name of await readdir(place)) await rm(join(place, name), { recursive: true });
      await writeFile(join(board.root, "sys/class/dmi/id/product_serial"), `${serial}\n`);
    },
    async configure(over) {
      settings.over = over;
      await writeConfigs();
    },
    command: (...args) =>
      run("sallyport", args[1] === "verify" ? args : ["--socket", join(board.agentRun, "root.sock"), ...args]),
    check: (name) => run(`sallyport-${name}`, ["--check-config", "--config", join(board.etc, `${name}.json`)]),
    async status() {
      const { code, stdout, stderr } = rig.command("--json", "status");
      if (code !== 0) throw new Fault("process.failed", `sallyport status ended with ${code}: ${stderr}`);
      const answer = parseJson(stdout, 262_144, "status");
      const whole = v.safeParse(operationAnswerSchema, answer);
      return check(deviceStatusSchema, whole.success && "result" in whole.output ? whole.output.result : answer, "status");
    },
    async ask(operation, schema, args = {}) {
      const id = randomUUID();
      const answer = await askLocal(join(board.agentRun, "root.sock"), { v: 1, id, operation, args });
      if ("fault" in answer) throw new Fault("process.failed", `${operation}: ${answer.fault.code}: ${answer.fault.message}`);
      return check(schema, answer.result, operation);
    },
    async stop() {
      await Promise.allSettled([...running].reverse().map((one) => one.stop()));
      await rm(directory, { recursive: true, force: true });
    },
  };
  return rig;
}

/** Set last, in what becomes the program itself: what a library to preload makes must be its user's. */
function withEnvironment(env: Readonly<Record<string, string>> = {}): readonly string[] {
  return ["/usr/bin/env", ...Object.entries(env).map(([name, value]) => `${name}=${value}`)];
}

function memberOf(config: Readonly<Record<string, unknown>> | undefined, name: string): object {
  const member = config?.[name];
  return typeof member === "object" && member !== null ? member : {};
}

/** What the image carries: what it is, whom it trusts, what it opens. */
async function layImageFiles(board: Board, release: ReleaseTool, policy: object): Promise<void> {
  const { version, counter } = await readSystemHeader(board.slots.a);
  const facts: ImageFacts = { v: 1, version, hardware: HARDWARE, counter };
  await writeFile(join(board.etc, "image.json"), JSON.stringify(facts), { mode: 0o644 });
  await writeFile(join(board.etc, "policy.json"), JSON.stringify(policy), { mode: 0o644 });
  await copyFile(release.root, join(board.etc, "root.json"));
  await chmod(join(board.etc, "root.json"), 0o644);
}

/** Only then may its programs touch a packet filter: it is none of this machine's. */
function namespaceOf(prefix: readonly string[] = []): string | undefined {
  const [ip, netns, exec, name] = prefix;
  return ip === "ip" && netns === "netns" && exec === "exec" ? name : undefined;
}

/** The pinned Node where both users may run it: the checkout may lie in a home that the agent's user can't enter. */
async function installNode(directory: string): Promise<string> {
  const target = join(directory, "opt", "node");
  await mkdir(join(directory, "opt"), { recursive: true, mode: 0o755 });
  try {
    await link(process.execPath, target);
  } catch {
    await copyFile(process.execPath, target); // another file system, or hard links forbidden
  }
  await chmod(target, 0o755);
  return target;
}

/** OpenSSL's tpm2 provider, for the same reason. */
async function installProvider(
  directory: string,
): Promise<{ readonly module: string; readonly libraryPath: string } | undefined> {
  const provider = tpm2Provider();
  if (provider === undefined) return undefined;
  const libraryPath = join(directory, "opt", "tpm2");
  await cp(provider.libraryPath, libraryPath, { recursive: true, verbatimSymlinks: true });
  return { module: provider.module.replace(provider.libraryPath, libraryPath), libraryPath };
}

async function installBundles(directory: string): Promise<void> {
  await cp(join(PROJECT, "dist"), join(directory, "opt"), { recursive: true });
}

/** Who owns what, as on a device: the warden's places are root's, the agent's the agent's. */
async function shareOut(board: Board, twoUsers: boolean): Promise<void> {
  const owner = twoUsers ? AGENT_UID : (process.getuid?.() ?? 0);
  const group = twoUsers ? AGENT_UID : (process.getgid?.() ?? 0);
  for (const place of [board.agentState, board.agentRun]) {
    await chown(place, owner, group);
    await chmod(place, 0o700);
  }
  // [OPS-1] the directory decides who may speak to the warden: root and the agent's group, which the socket inherits
  if (twoUsers) await chown(board.run, 0, group);
  await chmod(board.run, 0o2750);
}
