// Reads the network from a few files, and asks the kernel for what no file shows. It sends no
// packet. [LCK-31] [LCK-41]
import { BlockList, isIP, SocketAddress } from "node:net";
import { Fault } from "../../fault.ts";
import type { Network, NetworkFacts, NetworkTarget, NetworkTunnel } from "../../ports.ts";
import { connectedTo } from "./connections.ts";
import { askKernel, type KernelObject } from "./kernel.ts";
import { KERNEL_PAUSE_READS, LINKS_MAX, STACK_MAX, TARGETS_MAX, TUNNELS_MAX } from "./limits.ts";
import { type FoundLink, readLinks } from "./links.ts";
import { readNameService } from "./resolver.ts";
import { hasOtherDefault, readRoutes } from "./routes.ts";
import {
  carriersOf,
  getRoute,
  HIDDEN_KINDS,
  hiddenTunnels,
  type IpsecPolicy,
  ipsecPolicies,
  type TunnelPrograms,
  unknownBelow,
} from "./tunnels.ts";

export interface NetworkOptions {
  /** `/`, or a folder that looks like the kernel's view. */
  readonly root: string;
  /** iproute2. By default that of this machine, and none for a folder. */
  readonly ip?: string;
  readonly wg?: string;
}

/**
 * Somewhere in the Internet, where a hub with a name may be: addresses that nobody has (RFC 5737,
 * RFC 3849).
 */
const ANYWHERE = ["203.0.113.1", "2001:db8::1"];

export function linuxNetwork(options: NetworkOptions): Network {
  const reader = new NetworkReader(options);
  return { read: (towards = []) => reader.read(towards) };
}

/** What the kernel says beyond the files. */
type KernelView = Pick<NetworkFacts, "ways" | "detours" | "reached"> & {
  readonly carried: ReadonlyMap<string, readonly NetworkTunnel[]>;
};

class NetworkReader {
  readonly #root: string;
  readonly #programs: TunnelPrograms | undefined;
  #pause = 0;

  constructor({ root, ip = root === "/" ? "ip" : undefined, wg = "wg" }: NetworkOptions) {
    this.#root = root;
    this.#programs = ip === undefined ? undefined : { ip, wg };
  }

  async read(towards: readonly NetworkTarget[]): Promise<NetworkFacts> {
    const routes = await readRoutes(this.#root);
    const routed = new Set(routes.map(({ link }) => link));
    const all = await readLinks(this.#root, this.#pause > 0 ? undefined : this.#programs?.ip);
    const order = [...all].sort((a, b) => Number(routed.has(b.name)) - Number(routed.has(a.name)));
    const listed = new Set(order.slice(0, LINKS_MAX));
    const links = all.filter((link) => listed.has(link));
    const ports = towards.flatMap(({ address, port }) => (address === undefined ? [port] : []));
    const peers = ports.length === 0 ? [] : await connectedTo(this.#root, ports);
    const targets = [...towards.flatMap(({ address }) => address ?? []), ...peers].slice(0, TARGETS_MAX);
    // a hub that has a name, and no connection that shows where it is
    const somewhere = ports.length > 0 && peers.length === 0;
    const kernel = await this.#ask(links, somewhere ? [...targets, ...ANYWHERE] : targets, somewhere);
    const below = outerPackets(links, kernel?.carried);
    const isTunnel = ({ name, tunnel }: FoundLink): boolean =>
      tunnel !== undefined || below(name).some(({ link }) => link !== name);
    const tunnels = somewhere ? links.filter((link) => isTunnel(link) && routed.has(link.name)) : [];
    // without the kernel's word, another table's default route may leave by any link in use
    const untold = kernel === undefined && (await hasOtherDefault(this.#root)) ? [...routed] : [];
    const detours = [...untold, ...(kernel?.detours ?? []), ...tunnels.map(({ name }) => name)];
    const ways = kernel?.ways ?? [];
    return {
      links: links.map(({ tunnel: _kind, lower: _names, ...link }) => ({ ...link, below: below(link.name) })),
      routes,
      ways,
      reached: (kernel?.reached ?? []).filter(({ address }) => targets.includes(address)),
      detours: [...new Set(detours)].filter((name) => !ways.includes(name)).sort(),
      ...(await readNameService(this.#root)),
    };
  }

  /** @returns undefined when the kernel could not be asked: then nothing that it says is known. */
  async #ask(links: readonly FoundLink[], targets: readonly string[], somewhere: boolean): Promise<KernelView | undefined> {
    if (this.#programs === undefined) return undefined;
    if (this.#pause > 0) {
      this.#pause -= 1;
      return undefined;
    }
    try {
      return await viewOf(this.#programs, links, targets, somewhere);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      if (error.code === "process.timeout") this.#pause = KERNEL_PAUSE_READS;
      return undefined;
    }
  }
}

/** Of a link over a tunnel, such as a bridge with one, they are those of the tunnel. */
function outerPackets(
  links: readonly FoundLink[],
  carried: KernelView["carried"] = new Map(),
): (name: string) => readonly NetworkTunnel[] {
  const below = (name: string, deep = 0): readonly NetworkTunnel[] => {
    const { tunnel = "", lower = [] } = links.find((link) => link.name === name) ?? {};
    const own = carried.get(name) ?? unknownBelow(tunnel);
    if (own.length > 0 || deep === STACK_MAX) return own;
    return lower.flatMap((one) => below(one, deep + 1).filter(({ link }) => link !== one));
  };
  return (name) => below(name);
}

async function viewOf(
  programs: TunnelPrograms,
  links: readonly FoundLink[],
  targets: readonly string[],
  somewhere: boolean,
): Promise<KernelView> {
  const kinds = new Map(
    links.flatMap(({ name, tunnel }) => (tunnel === undefined ? [] : [[name, tunnel] as const])).slice(0, TUNNELS_MAX),
  );
  const addresses = targets.filter((target) => isIP(target) > 0);
  const { objects, lines } = await askKernel(programs.ip, [
    "route show table all exact default",
    "rule show",
    ...addresses.map((target) => getRoute(target)),
    ...[...kinds.keys()].map((name) => `link show dev ${name}`),
    ...HIDDEN_KINDS.map((kind) => `link show type ${kind}`),
    "xfrm policy list dir out",
  ]);
  for (const [name, kind] of hiddenTunnels(objects)) if (kinds.size < TUNNELS_MAX) kinds.set(name, kind);
  const rules = [...objects, ...(await furtherRules(programs.ip, objects))].filter(({ priority }) => priority !== undefined);
  const found = [...objects, ...(await sourced(programs.ip, objects, rules))].flatMap(({ dst = "default", dev = "lo" }) =>
    dst !== "default" && dev !== "lo" ? [{ dst, dev }] : [],
  );
  const ways = [...new Set(found.map(({ dev }) => dev))].sort();
  // by the source address that the first lookup gave: it comes last
  const reached = addresses.flatMap((address) => {
    const link = found.findLast(({ dst }) => dst === canonical(address))?.dev;
    return link === undefined ? [] : [{ address, link }];
  });
  const ipsec = ipsecPolicies(lines).filter((policy) => somewhere || targets.some((target) => covers(policy, target)));
  const carried = await carriersOf(programs, kinds, objects, [...new Set(ipsec.map(({ peer }) => peer))], ways);
  return { ways, reached, detours: detoursOf(objects, rules, ways), carried };
}

/** iproute2 lists the rules of one family. Those of IPv6 are asked for where one can matter. */
async function furtherRules(ip: string, objects: readonly KernelObject[]): Promise<readonly KernelObject[]> {
  const listed = new Set(objects.flatMap(({ priority, table }) => (priority === undefined ? [] : [table])));
  const hasMore = objects.some(({ dst, table = "main" }) => dst === "default" && table !== "main" && !listed.has(table));
  return hasMore ? (await askKernel(ip, ["rule show"], ["-6"])).objects : [];
}

/**
 * A connection looks its way up twice: the second time with the source address that the first has
 * given it, for which rules may name another table.
 */
async function sourced(
  ip: string,
  objects: readonly KernelObject[],
  rules: readonly KernelObject[],
): Promise<readonly KernelObject[]> {
  if (rules.every(({ src = "all" }) => src === "all")) return [];
  const asked = objects.flatMap(({ dst = "default", prefsrc }) =>
    dst !== "default" && prefsrc !== undefined && isIP(prefsrc) > 0 && isIP(dst) > 0 ? [`route get ${dst} from ${prefsrc}`] : [],
  );
  return asked.length === 0 ? [] : (await askKernel(ip, asked)).objects;
}

function canonical(address: string): string {
  return new SocketAddress({ address, family: isIP(address) === 4 ? "ipv4" : "ipv6" }).address;
}

/** What a packet of the agent's may have and a lookup has not. */
const SELECTORS = ["fwmark", "uid_start", "ipproto", "tos", "sport", "sport_start", "dport", "dport_start"] as const;

/**
 * A lookup shows where an unmarked packet goes. By rules on marks, users and ports another table
 * may be chosen; and where the lookup names nothing, any table may count. Of a route with several
 * next hops it shows one, and another connection may take another.
 */
function detoursOf(objects: readonly KernelObject[], rules: readonly KernelObject[], ways: readonly string[]): readonly string[] {
  const chosen = rules.filter(
    (rule) => ways.length === 0 || (!("not" in rule) && SELECTORS.some((selector) => rule[selector] !== undefined)),
  );
  const tables = new Set(chosen.map(({ table }) => table));
  return objects
    .filter(({ dst }) => dst === "default")
    .map(({ table = "main", dev, nexthops = [] }) => ({ table, devs: [dev, ...nexthops.map((hop) => hop.dev)] }))
    .filter(({ table, devs }) => tables.has(table) || (devs.length > 2 && devs.some((dev) => ways.includes(dev ?? ""))))
    .flatMap(({ devs }) => devs)
    .filter((dev) => dev !== undefined);
}

function covers({ to }: IpsecPolicy, target: string): boolean {
  const [base = "", length = ""] = to.split("/");
  const family = base.includes(":") ? "ipv6" : "ipv4";
  if (isIP(base) === 0) return false;
  const list = new BlockList();
  list.addSubnet(base, length === "" ? (family === "ipv4" ? 32 : 128) : Number(length), family);
  return list.check(target, target.includes(":") ? "ipv6" : "ipv4");
}
