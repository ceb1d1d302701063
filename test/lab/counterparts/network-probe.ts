// A device and the network outside it: two network namespaces that two cables join, with a probe on
// each side that tries connections with real packets. As root it uses `ip netns`; without root a
// user namespace of its own, in which nft works too.
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { Fault } from "../../../hal/fault.ts";
import type { Firewall } from "../../../hal/ports.ts";
import { missingPart } from "../runner/needs.ts";
import { eventually, type RunningProgram, startProgram } from "../runner/process.ts";

type Words = readonly [string, ...string[]];

/** `open`, `silent` (nothing came back), or the errno's name: ECONNREFUSED, EHOSTUNREACH, ... */
export type Outcome = string;

export interface ProbeNetwork {
  /** Words before nft's arguments, which enter the device's namespace. */
  readonly nft: Words;
  /** Policies name the cable `eth0`; `eth1` is the other one. */
  readonly device: Side;
  readonly outside: Side;
  /** Words before a command on each side, with the rights of the test's user. */
  readonly enter: { readonly device: readonly string[]; readonly outside: readonly string[] };
  stop(): Promise<void>;
}

export interface Side extends Probe {
  /** Before a command that runs on this side. */
  readonly words: readonly string[];
  /** On the cables eth0 and eth1. */
  readonly ipv4: readonly [string, string];
  readonly ipv6: readonly [string, string];
  /** A second address outside on eth0. */
  readonly alias4: string;
  /**
   * Sends one ping (RFC 792, RFC 4443) by socat, which needs no program that a small machine lacks.
   */
  ping(host: string): boolean;
}

export interface Probe {
  /** Echoes TCP and UDP on every address. */
  listen(port: number): Promise<void>;
  tcp(host: string, port: number): Promise<Outcome>;
  /** @param from the port to send from. */
  udp(host: string, port: number, from?: number): Promise<Outcome>;
  /**
   * Makes a connection and keeps it.
   * @returns a function that tells whether it still carries anything.
   */
  hold(host: string, port: number): Promise<() => Promise<Outcome>>;
}

const CHILD = fileURLToPath(new URL("network-probe-child.ts", import.meta.url));
const NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
const ADDRESSES = {
  device: { ipv4: ["198.18.7.2", "198.18.8.2"], ipv6: ["fd5a:7::2", "fd5a:8::2"], alias4: "198.18.7.4" },
  outside: { ipv4: ["198.18.7.1", "198.18.8.1"], ipv6: ["fd5a:7::1", "fd5a:8::1"], alias4: "198.18.7.3" },
} as const;

/**
 * @returns the reason why there can be no probe network of this kind, else false: for tap's `skip`.
 */
export function lacksProbeNetwork(kind: "netns" | "user"): string | false {
  const command = kind === "netns" ? ["unshare", "-n"] : [...asNobody(), "unshare", "-Urn"];
  const [program, ...args] = [...command, "nft", "list", "tables"];
  if (spawnSync(program, args).status === 0) return false;
  return missingPart(kind === "netns" ? "needs root, iproute2 and nftables" : "needs user namespaces and nftables");
}

/** Root gives up its rights, so that the unprivileged way is really tested. */
function asNobody(): readonly string[] {
  return process.getuid?.() === 0 ? NOBODY : [];
}

export async function openProbeNetwork(kind: "netns" | "user"): Promise<ProbeNetwork> {
  const world = kind === "netns" ? namedNamespaces() : await userNamespaces();
  try {
    plug(world);
    const [device, outside] = [watch(world.enter.device, "device"), watch(world.enter.outside, "outside")];
    await Promise.all([device.line(/^ready here$/u), outside.line(/^ready here$/u)]);
    const ask = { device: questions(device), outside: questions(outside) };
    const sides = {
      device: side(ask.device, ask.outside, world.run.device, "device"),
      outside: side(ask.outside, ask.device, world.run.outside, "outside"),
    };
    await carries(sides);
    return {
      nft: [...world.run.device, "nft"],
      ...sides,
      enter: world.enter,
      stop: async () => {
        await Promise.all([device.stop(), outside.stop()]);
        await world.stop();
      },
    };
  } catch (error) {
    await world.stop();
    throw error;
  }
}

interface World {
  /** Words before a command that runs on a side, with rights over that network only. */
  readonly run: { readonly device: Words; readonly outside: Words };
  /** The same with the rights of the test's user, who can read the project's files. */
  readonly enter: { readonly device: Words; readonly outside: Words };
  /** How `ip link` names the device's namespace. */
  readonly deviceNamespace: string;
  stop(): Promise<void>;
}

function namedNamespaces(): World {
  const id = randomBytes(3).toString("hex");
  const [device, outside] = [`sp-device-${id}`, `sp-outside-${id}`];
  run(["ip", "netns", "add", device]);
  run(["ip", "netns", "add", outside]);
  const into = { device: ["ip", "netns", "exec", device], outside: ["ip", "netns", "exec", outside] } as const;
  return {
    run: into,
    enter: into,
    deviceNamespace: device,
    stop: async () => {
      for (const name of [device, outside]) spawnSync("ip", ["netns", "delete", name]);
    },
  };
}

/** A program that keeps its namespaces open for as long as it runs. */
async function hold(name: string, words: readonly string[]): Promise<RunningProgram> {
  const [command, ...args] = [...words, "sh", "-c", "echo held; exec cat"];
  const program = startProgram({ name, command, args, input: true });
  await program.line(/^held$/u);
  return program;
}

/** Words before a command that runs in the namespaces of a process. */
function into(pid: number): Words {
  return ["nsenter", `--target=${pid}`, "--user", "--net", "--preserve-credentials", "--"];
}

function asOwnerIn(pid: number): Words {
  const [program, ...rest] = [...asNobody(), ...into(pid)];
  return [program ?? "nsenter", ...rest];
}

/** Both are in one user namespace; a program that ends with the test holds each of them open. */
async function userNamespaces(): Promise<World> {
  const outside = await hold("outside", [...asNobody(), "unshare", "-Urn"]);
  const device = await hold("device", [...asNobody(), ...into(outside.pid), "unshare", "-n"]);
  return {
    run: { device: asOwnerIn(device.pid), outside: asOwnerIn(outside.pid) },
    enter: { device: into(device.pid), outside: into(outside.pid) },
    deviceNamespace: String(device.pid),
    stop: async () => {
      await Promise.all([device.stop(), outside.stop()]);
    },
  };
}

/** An empty network for nft alone: much quicker than {@link openProbeNetwork}. */
export async function openEmptyNetwork(kind: "netns" | "user"): Promise<Pick<ProbeNetwork, "nft" | "stop">> {
  if (kind === "user") {
    const holder = await hold("network", [...asNobody(), "unshare", "-Urn"]);
    return { nft: [...asOwnerIn(holder.pid), "nft"], stop: async () => void (await holder.stop()) };
  }
  const name = `sp-empty-${randomBytes(3).toString("hex")}`;
  run(["ip", "netns", "add", name]);
  return {
    nft: ["ip", "netns", "exec", name, "nft"],
    stop: async () => void spawnSync("ip", ["netns", "delete", name]),
  };
}

function plug({ run: prefix, deviceNamespace }: World): void {
  run([...prefix.outside, "ip", "link", "set", "lo", "up"]);
  run([...prefix.device, "ip", "link", "set", "lo", "up"]);
  for (const n of [0, 1] as const) {
    run([...prefix.outside, "ip", "link", "add", `out${n}`, "type", "veth", "peer", "name", `eth${n}`, "netns", deviceNamespace]);
    for (const [name, words, link] of [
      ["outside", prefix.outside, `out${n}`],
      ["device", prefix.device, `eth${n}`],
    ] as const) {
      const { ipv4, ipv6, alias4 } = ADDRESSES[name];
      run([...words, "ip", "address", "add", `${ipv4[n]}/24`, "dev", link]);
      if (n === 0) run([...words, "ip", "address", "add", `${alias4}/24`, "dev", link]);
      run([...words, "ip", "address", "add", `${ipv6[n]}/64`, "dev", link, "nodad"]);
      run([...words, "ip", "link", "set", link, "up"]);
    }
  }
}

/** A cable takes a moment to come up for IPv6. */
async function carries({ device, outside }: Pick<ProbeNetwork, "device" | "outside">): Promise<void> {
  for (const host of [...device.ipv6, ...device.ipv4])
    await eventually(`the cable to ${host} comes up`, async () =>
      (await outside.tcp(host, 9)) === "ECONNREFUSED" ? true : undefined,
    );
}

function watch([command, ...before]: Words, name: string): RunningProgram {
  return startProgram({ name, command, args: [...before, process.execPath, CHILD], input: true });
}

/**
 * A probe on one side of a firewall that was set up elsewhere.
 * @param prefix words before a command on that side; none for this machine.
 */
export async function startProbe(prefix: readonly string[], name: string): Promise<Probe & { stop(): Promise<void> }> {
  const program = startProgram({ name, command: "/usr/bin/env", args: [...prefix, process.execPath, CHILD], input: true });
  await program.line(/^ready here$/u);
  return { ...createProbe(questions(program), undefined), stop: async () => void (await program.stop()) };
}

type Ask = (words: string) => Promise<{ readonly id: string; readonly outcome: Outcome }>;

function questions(program: RunningProgram): Ask {
  let asked = 0;
  return async (words) => {
    const id = `q${(asked += 1)}`;
    program.write(`${id} ${words}\n`);
    const line = await program.line(new RegExp(`^${id} `, "u"));
    return { id, outcome: line.slice(id.length + 1) };
  };
}

/** @param other the other side, when it is known: no try is silent before that has had its turn. */
function createProbe(ask: Ask, other: Ask | undefined): Probe {
  const settled = async (words: string): Promise<Outcome> => {
    const { id, outcome } = await ask(words);
    if (outcome !== "unanswered") return outcome;
    await other?.("turn");
    return (await ask(`settle ${id}`)).outcome;
  };
  return {
    listen: async (port) => void (await ask(`listen ${port}`)),
    tcp: async (host, port) => (await ask(`tcp ${host} ${port}`)).outcome,
    udp: (host, port, from = 0) => settled(`udp ${host} ${port} ${from}`),
    hold: async (host, port) => {
      const { id, outcome } = await ask(`hold ${host} ${port}`);
      if (outcome !== "open") throw new Fault("assert.broken", `hold a connection to ${host} port ${port}: ${outcome}`);
      return () => settled(`poke ${id}`);
    },
  };
}

function side(ask: Ask, other: Ask, prefix: Words, name: "device" | "outside"): Side {
  return {
    words: prefix,
    ...ADDRESSES[name],
    ...createProbe(ask, other),
    ping: (host) => {
      const ipv6 = host.includes(":");
      const [program, ...args] = [
        ...prefix,
        "socat",
        "-t0.5",
        "-T0.7",
        "-",
        ipv6 ? `IP6-SENDTO:[${host}]:58` : `IP4-SENDTO:${host}:1`,
      ];
      // Type, code, checksum (the kernel fills in that of ICMPv6), id 1, number 1.
      const input = Buffer.from(ipv6 ? "8000000000010001" : "0800f7fd00010001", "hex");
      const { stdout } = spawnSync(program, args, { input });
      return stdout[0] === (ipv6 ? 129 : 0); // The type of the answer; socat removes the header.
    },
  };
}

function run(words: readonly string[]): void {
  const [program = "", ...args] = words;
  const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
  if (status !== 0) throw new Fault("process.failed", `${words.join(" ")}: ${stderr.trim()}`);
}

export interface FakeFirewall extends Firewall {
  replace: (table: string) => Promise<string | undefined>;
  read: () => Promise<string | undefined>;
  /** The table in force. */
  table: string | undefined;
  /** Every table that was in force. */
  readonly history: readonly string[];
  /** Makes the next replacements refuse. */
  refuse(times?: number): void;
}

/** A packet filter in memory; test/contract runs one suite on it and on nft. */
export function fakeFirewall(): FakeFirewall {
  let refusals = 0;
  const history: string[] = [];
  const fake: FakeFirewall = {
    table: undefined,
    history,
    refuse: (times = 1) => {
      refusals = times;
    },
    replace: async (table) => {
      if (!/^table inet sallyport \{\n(?:\t[^\n]*\n|\n)*\}\n$/u.test(table)) throw new Fault("assert.broken", "not our table");
      if (refusals > 0) {
        refusals -= 1;
        throw new Fault("firewall.refused", "replace: as planned");
      }
      // nft refuses what is no statement too.
      if (/^\t\tnonsense$/mu.test(table)) throw new Fault("firewall.refused", "replace: syntax error");
      history.push(table);
      fake.table = table;
      return table;
    },
    read: async () => fake.table,
  };
  return fake;
}
