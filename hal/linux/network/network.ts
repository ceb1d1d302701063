// Reads the network from a few files, and asks the kernel for what no file shows. It sends no
// packet. [LCK-31] [LCK-41]
import { BlockList, isIP } from "node:net";
import { Fault } from "../../fault.ts";
import type { Network, NetworkFacts, NetworkTarget, NetworkTunnel } from "../../ports.ts";
import { connectedTo } from "./connections.ts";
import { askKernel, type KernelObject } from "./kernel.ts";
import { KERNEL_PAUSE_READS, LINKS_MAX, TARGETS_MAX, TUNNELS_MAX } from "./limits.ts";
import { type FoundLink, readLinks } from "./links.ts";
import { readNameService } from "./resolver.ts";
import { readRoutes } from "./routes.ts";
import { carriersOf, getRoute, type IpsecPolicy, ipsecPolicies, type TunnelPrograms, unknownBelow } from "./tunnels.ts";

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
type KernelView = Pick<NetworkFacts, "ways" | "detours"> & { readonly carried: ReadonlyMap<string, readonly NetworkTunnel[]> };

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
    const tunnels = somewhere ? links.filter(({ tunnel, name }) => tunnel !== undefined && routed.has(name)) : [];
    const detours = [...(kernel?.detours ?? []), ...tunnels.map(({ name }) => name)];
    const ways = kernel?.ways ?? [];
    return {
      links: links.map(({ tunnel, ...link }) => ({
        ...link,
        below: kernel?.carried.get(link.name) ?? unknownBelow(tunnel ?? ""),
      })),
      routes,
      ways,
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

async function viewOf(
  programs: TunnelPrograms,
  links: readonly FoundLink[],
  targets: readonly string[],
  somewhere: boolean,
): Promise<KernelView> {
  const kinds = new Map(
    links.flatMap(({ name, tunnel }) => (tunnel === undefined ? [] : [[name, tunnel] as const])).slice(0, TUNNELS_MAX),
  );
  const { objects, lines } = await askKernel(programs.ip, [
    "route show table all exact default",
    "rule show",
    ...targets.filter((target) => isIP(target) > 0).map((target) => getRoute(target)),
    ...[...kinds.keys()].map((name) => `link show dev ${name}`),
    "xfrm policy list dir out",
  ]);
  const found = objects.flatMap(({ dst, dev }) =>
    dst !== undefined && dst !== "default" && dev !== undefined && dev !== "lo" ? [dev] : [],
  );
  const ways = [...new Set(found)].sort();
  const ipsec = ipsecPolicies(lines).filter((policy) => somewhere || targets.some((target) => covers(policy, target)));
  const carried = await carriersOf(programs, kinds, objects, [...new Set(ipsec.map(({ peer }) => peer))]);
  return { ways, detours: detoursOf(objects, ways), carried };
}

/**
 * A lookup shows where an unmarked packet goes. By rules on marks, users and ports another table
 * may be chosen; and where the lookup names nothing, any table may count.
 */
function detoursOf(objects: readonly KernelObject[], ways: readonly string[]): readonly string[] {
  const chosen = objects.filter(
    (rule) =>
      rule.priority !== undefined &&
      (ways.length === 0 ||
        (!("not" in rule) && [rule.fwmark, rule.uid_start, rule.ipproto, rule.dport].some((selector) => selector !== undefined))),
  );
  const tables = new Set(chosen.map(({ table }) => table));
  return objects
    .filter(({ dst, table = "main" }) => dst === "default" && tables.has(table))
    .flatMap(({ dev, nexthops = [] }) => [dev, ...nexthops.map((hop) => hop.dev)])
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
