// A hub, a board and the board's warden and agent, for demo, bench and system tests. Each program
// is a process of its own, started from its bundle.
import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chmod, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { Fault } from "../../../hal/fault.ts";
import { parseJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { type DeviceStatus, deviceStatusSchema } from "../../../agent/status/format.ts";
import { askLocal } from "../../../agent/local/index.ts";
import { operationAnswerSchema, type OperationName } from "../../../agent/operations/format.ts";
import { type Board, type BoardOptions, buildBoard } from "./board.ts";
import { type HubProcess, openHubProcess } from "./hub-process.ts";
import { boardPolicy, makeKeyHolder, type KeyHolder } from "../counterparts/operator-keys.ts";
import { environment, HANG_MS, type RunningProgram, startProgram } from "../runner/process.ts";
import { startOf, type UnitStart } from "../runner/units.ts";
import { openReleaseTool, type ReleaseTool } from "./release-tool.ts";
import { AGENT_UID, installBundles, installNode, installProvider, setOwners, writeImageFiles } from "./rig-install.ts";

export { AGENT_UID } from "./rig-install.ts";

export interface RigOptions {
  readonly serial?: string | undefined;
  readonly mac?: string;
  /** The address on which the hub listens, which is in its certificate too. */
  readonly hubAddress?: string;
  /** More arguments for `sallyport-hub serve`. */
  readonly hubArgs?: readonly string[];
  /** A program that serves in place of `sallyport-hub serve`, with its arguments. */
  readonly hubServer?: string;
  readonly hubEnv?: Readonly<Record<string, string>>;
  /**
   * The board's TPM, as tpm2-tss names it. The provider is installed, and the key may be in the
   * TPM, which the warden takes.
   */
  readonly tpm?: string | undefined;
  /** Members that replace those of the agent's configuration. */
  readonly agentConfig?: Readonly<Record<string, unknown>>;
  readonly wardenConfig?: Readonly<Record<string, unknown>>;
  /** Words before the commands of the board's programs, for instance `ip netns exec NAME`. */
  readonly boardPrefix?: readonly string[];
  /** The same for the warden alone, after those of the board. */
  readonly wardenPrefix?: readonly string[];
  /**
   * Members that replace those of the image's lockdown policy.
   * @param confirmer may confirm policies.
   */
  readonly basePolicy?: (confirmer: KeyHolder) => Readonly<Record<string, unknown>>;
  readonly agentEnv?: Readonly<Record<string, string>>;
  readonly wardenEnv?: Readonly<Record<string, string>>;
  /** How Node is started, where it is not as the device's units do it. */
  readonly starts?: Readonly<Partial<Record<"warden" | "agent", UnitStart>>>;
  readonly onLine?: (program: "hub" | "warden" | "agent", line: string) => void;
}

type ConfigSettings = Pick<RigOptions, "agentConfig" | "wardenConfig">;

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Rig {
  readonly directory: string;
  readonly board: Board;
  /** Agent and warden run as two users: true when the tests run as root. */
  readonly twoUsers: boolean;
  /** The board's network namespace, when it has one. Then the kernel's packet filter is used. */
  readonly namespace: string | undefined;
  /**
   * Signs releases; its root of trust is in the image. Nothing is published until the hub is told
   * to.
   */
  readonly release: ReleaseTool;
  /** Holds the key that confirms the image's policy. */
  readonly confirmer: KeyHolder;
  /** The hub. `startHub` starts it, because the board's configuration needs its ports. */
  readonly hub: Omit<HubProcess, "start">;
  startHub(): Promise<RunningProgram>;
  /** Resolves when the warden listens. */
  startWarden(): Promise<RunningProgram>;
  /** Resolves when the agent has started. */
  startAgent(): Promise<RunningProgram>;
  /** Starts the program and returns at once. @param instead another command in its place. */
  launchWarden(instead?: readonly string[]): RunningProgram;
  launchAgent(instead?: readonly string[]): RunningProgram;
  /** Replaces the board by one that was never powered on. Its programs must not be running. */
  replaceBoard(serial: string): Promise<void>;
  /** Replaces the settings of the options. Programs that start later have them. */
  configure(settings: ConfigSettings): Promise<void>;
  /** Runs `sallyport` against the board's agent. */
  command(...args: readonly string[]): Ended;
  /** Runs one of the board's programs with `--check-config`, as the user of the test. */
  check(name: "agent" | "warden"): Ended;
  /** @returns the agent's status, by the local command line. */
  status(): Promise<DeviceStatus>;
  /**
   * Performs an operation through the agent's local socket.
   * @throws Fault `process.failed` for a refusal.
   */
  ask<const S extends v.GenericSchema>(
    operation: OperationName,
    schema: S,
    args?: Readonly<Record<string, unknown>>,
  ): Promise<v.InferOutput<S>>;
  /** Stops everything and removes the directory. */
  stop(): Promise<void>;
}

export const DEFAULT_MAC = "00:1b:21:3a:4f:58";
const STATUS_BYTES_MAX = 262_144;
const AS_AGENT = [
  "/usr/bin/setpriv",
  `--reuid=${AGENT_UID}`,
  `--regid=${AGENT_UID}`,
  "--clear-groups",
  "--no-new-privs",
  "--bounding-set=-all",
  "--",
];

/** Makes the directories and configurations and initialises the hub; starts no program yet. */
export async function buildRig(options: RigOptions = {}): Promise<Rig> {
  const directory = await mkdtemp(join(tmpdir(), "sallyport-"));
  await chmod(directory, 0o711);
  const node = await installNode(directory);
  await installBundles(directory);
  const provider = options.tpm === undefined ? undefined : await installProvider(directory);
  const board = await buildBoard({
    directory,
    serial: "serial" in options ? options.serial : "SPG2-0A1B2C3D",
    mac: options.mac ?? DEFAULT_MAC,
  } satisfies BoardOptions);
  await setOwners(board, isRoot());
  const release = await openReleaseTool(join(directory, "release"));
  const confirmer = await makeKeyHolder(directory, "confirmer");
  await writeImageFiles(board, release, boardPolicy(confirmer, options.basePolicy?.(confirmer)));
  const hub = await openHubProcess({
    state: join(directory, "hub"),
    address: addressOf(options),
    args: options.hubArgs ?? [],
    node,
    program: bundleOf(directory, "sallyport-hub"),
    server: options.hubServer,
    env: options.hubEnv,
    onLine: (line) => options.onLine?.("hub", line),
  });
  return new ProcessRig(options, { directory, node, provider, board, release, confirmer, hub });
}

interface RigParts {
  readonly directory: string;
  readonly node: string;
  readonly provider: object | undefined;
  readonly board: Board;
  readonly release: ReleaseTool;
  readonly confirmer: KeyHolder;
  readonly hub: HubProcess;
}

class ProcessRig implements Rig {
  readonly directory: string;
  readonly board: Board;
  readonly release: ReleaseTool;
  readonly confirmer: KeyHolder;
  readonly hub: HubProcess;
  readonly twoUsers = isRoot();
  readonly namespace: string | undefined;
  readonly #options: RigOptions;
  readonly #node: string;
  readonly #provider: object | undefined;
  readonly #running = new Set<RunningProgram>();
  #settings: ConfigSettings;

  constructor(options: RigOptions, { directory, node, provider, board, release, confirmer, hub }: RigParts) {
    this.directory = directory;
    this.board = board;
    this.release = release;
    this.confirmer = confirmer;
    this.hub = hub;
    this.namespace = namespaceOf(options.boardPrefix);
    this.#options = options;
    this.#node = node;
    this.#provider = provider;
    this.#settings = options;
  }

  async startHub(): Promise<RunningProgram> {
    const hub = await this.hub.start();
    this.#running.add(hub);
    await this.#writeConfigs();
    return hub;
  }

  async startWarden(): Promise<RunningProgram> {
    const warden = this.launchWarden();
    await warden.line(/listening|serving|ready/iu);
    return warden;
  }

  async startAgent(): Promise<RunningProgram> {
    const agent = this.launchAgent();
    await agent.line(/started/u);
    return agent;
  }

  launchWarden(instead: readonly string[] = this.#commandOf("warden")): RunningProgram {
    const { wardenPrefix = [], wardenEnv } = this.#options;
    const env = withEnvironment({ ...this.#startOf("warden").env, ...wardenEnv });
    return this.#launch("warden", [...wardenPrefix, ...env, ...instead]);
  }

  launchAgent(instead: readonly string[] = this.#commandOf("agent")): RunningProgram {
    const privileges = this.twoUsers ? AS_AGENT : [];
    const env = withEnvironment({ ...this.#startOf("agent").env, ...this.#options.agentEnv });
    return this.#launch("agent", [...privileges, ...env, ...instead]);
  }

  async replaceBoard(serial: string): Promise<void> {
    for (const place of [this.board.agentState, this.board.wardenState, this.board.birth])
      for (const name of await readdir(place)) await rm(join(place, name), { recursive: true });
    await writeFile(join(this.board.root, "sys/class/dmi/id/product_serial"), `${serial}\n`);
  }

  async configure(settings: ConfigSettings): Promise<void> {
    this.#settings = settings;
    await this.#writeConfigs();
  }

  command(...args: readonly string[]): Ended {
    const isOffline = ["verify", "passwords"].includes(args[1] ?? "");
    return this.#run("sallyport", isOffline ? args : ["--socket", this.#localSocket, ...args]);
  }

  check(name: "agent" | "warden"): Ended {
    return this.#run(`sallyport-${name}`, ["--check-config", "--config", this.#configFile(name)]);
  }

  async status(): Promise<DeviceStatus> {
    const { code, stdout, stderr } = this.command("--json", "status");
    if (code !== 0) throw new Fault("process.failed", `sallyport status ended with ${code}: ${stderr}`);
    const answer = parseJson(stdout, STATUS_BYTES_MAX, "status");
    const whole = v.safeParse(operationAnswerSchema, answer);
    return check(deviceStatusSchema, whole.success && "result" in whole.output ? whole.output.result : answer, "status");
  }

  async ask<const S extends v.GenericSchema>(
    operation: OperationName,
    schema: S,
    args: Readonly<Record<string, unknown>> = {},
  ): Promise<v.InferOutput<S>> {
    const answer = await askLocal(this.#localSocket, { v: 1, id: randomUUID(), operation, args });
    if ("fault" in answer) throw new Fault("process.failed", `${operation}: ${answer.fault.code}: ${answer.fault.message}`);
    return check(schema, answer.result, operation);
  }

  async stop(): Promise<void> {
    await Promise.allSettled([...this.#running].reverse().map((one) => one.stop()));
    await rm(this.directory, { recursive: true, force: true });
  }

  #launch(name: "warden" | "agent", command: readonly string[]): RunningProgram {
    const [first, ...args] = [...(this.#options.boardPrefix ?? []), ...command];
    if (first === undefined) throw new Fault("assert.broken", "a program to start");
    const started = startProgram({ name, command: first, args, onLine: (line) => this.#options.onLine?.(name, line) });
    this.#running.add(started);
    return started;
  }

  #startOf(name: "warden" | "agent"): UnitStart {
    return this.#options.starts?.[name] ?? startOf(`sallyport-${name}.service`);
  }

  #commandOf(name: "warden" | "agent"): readonly string[] {
    const program = bundleOf(this.directory, `sallyport-${name}`);
    return [this.#node, ...this.#startOf(name).options, program, "--config", this.#configFile(name)];
  }

  #run(name: string, args: readonly string[]): Ended {
    const words = ["-i", ...environment(), this.#node, bundleOf(this.directory, name), ...args];
    const { status, stdout, stderr } = spawnSync("/usr/bin/env", words, { encoding: "utf8", timeout: HANG_MS });
    return { code: status, stdout, stderr };
  }

  async #writeConfigs(): Promise<void> {
    await writeFile(this.#anchorsFile, JSON.stringify(await this.hub.anchors()), { mode: 0o644 });
    const configs = { warden: this.#wardenConfig(), agent: this.#agentConfig() };
    for (const name of ["warden", "agent"] as const)
      await writeFile(this.#configFile(name), JSON.stringify(configs[name], undefined, 2), { mode: 0o644 });
  }

  #wardenConfig(): object {
    const { board } = this;
    const { wardenConfig } = this.#settings;
    // The hub took ports that were free, not those of its anchors.
    const ports = Object.values(this.hub.ports).filter((port) => port > 0);
    return {
      stateDirectory: board.wardenState,
      birthDirectory: board.birth,
      socket: this.#wardenSocket,
      anchors: this.#anchorsFile,
      boardRoot: board.root,
      setClock: false,
      image: join(board.etc, "image.json"),
      trustRoot: join(board.etc, "root.json"),
      basePolicy: join(board.etc, "policy.json"),
      handover: this.#handover,
      ...(this.#options.tpm !== undefined && { tpm: { tcti: this.#options.tpm, ownership: "take" } }),
      ...wardenConfig,
      lockdown: {
        firewall: this.namespace === undefined ? "none" : "nft",
        hubEndpoints: ports.map((port) => ({ address: addressOf(this.#options), port })),
        ...memberOf(wardenConfig, "lockdown"),
      },
      update: { installer: bundleOf(this.directory, "sallyport-install"), ...memberOf(wardenConfig, "update") },
    };
  }

  #agentConfig(): object {
    const { board } = this;
    const { agentConfig } = this.#settings;
    const [host, ports] = [addressOf(this.#options), this.hub.ports];
    return {
      stateDirectory: board.agentState,
      wardenSocket: this.#wardenSocket,
      localSocket: this.#localSocket,
      anchors: this.#anchorsFile,
      enrolment: { connectTo: { host, port: ports.est } },
      handover: this.#handover,
      trustRoot: join(board.etc, "root.json"),
      ...agentConfig,
      ...(this.#provider !== undefined && {
        key: { protection: "auto", tpm: { tcti: this.#options.tpm, ...this.#provider }, ...memberOf(agentConfig, "key") },
      }),
      tunnel: { connectTo: { host, port: ports.mqtt }, ...memberOf(agentConfig, "tunnel") },
    };
  }

  get #anchorsFile(): string {
    return join(this.board.etc, "hub.json");
  }

  get #wardenSocket(): string {
    return join(this.board.run, "warden.sock");
  }

  get #localSocket(): string {
    return join(this.board.agentRun, "root.sock");
  }

  get #handover(): string {
    return join(this.board.agentState, "handover");
  }

  #configFile(name: "warden" | "agent"): string {
    return join(this.board.etc, `${name}.json`);
  }
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function addressOf({ hubAddress = "127.0.0.1" }: RigOptions): string {
  return hubAddress;
}

function bundleOf(directory: string, name: string): string {
  return join(directory, "opt", name, "main.js");
}

/**
 * Sets variables last, in the process that becomes the program: what a preloaded library creates
 * must belong to the program's user.
 */
function withEnvironment(env: Readonly<Record<string, string>>): readonly string[] {
  return ["/usr/bin/env", ...Object.entries(env).map(([name, value]) => `${name}=${value}`)];
}

function memberOf(config: Readonly<Record<string, unknown>> | undefined, name: string): object {
  const member = config?.[name];
  return typeof member === "object" && member !== null ? member : {};
}

/**
 * In a namespace of its own the board's programs may change the packet filter: it is not this
 * machine's.
 */
function namespaceOf(prefix: readonly string[] = []): string | undefined {
  const [ip, netns, exec, name] = prefix;
  return ip === "ip" && netns === "netns" && exec === "exec" ? name : undefined;
}
