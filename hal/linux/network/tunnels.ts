// Tunnels: which links are one, and what the kernel says about their outer packets. [LCK-43]
import { isIP } from "node:net";
import { join } from "node:path";
import type { NetworkTunnel, TunnelProtocol } from "../../ports.ts";
import { attribute, isThere } from "./files.ts";
import { askKernel, askWireGuard, type KernelObject } from "./kernel.ts";
import { TUNNEL_PEERS_MAX } from "./limits.ts";

/** Kinds of links as the kernel calls them (IFLA_INFO_KIND), with what carries their packets. */
const KINDS: Readonly<Record<string, readonly TunnelProtocol[]>> = {
  wireguard: ["udp"],
  tun: ["udp"],
  vxlan: ["udp"],
  geneve: ["udp"],
  gre: ["gre"],
  gretap: ["gre"],
  ip6gre: ["gre"],
  ip6gretap: ["gre"],
  ipip: ["ipip"],
  sit: ["ipv6"],
  ip6tnl: ["ipip", "ipv6"],
  vti: ["esp"],
  vti6: ["esp"],
  erspan: ["gre"],
  ip6erspan: ["gre"],
  xfrm: ["esp"],
};

/** Kinds that sysfs shows as any other link: by them is asked. */
export const HIDDEN_KINDS = ["gretap", "ip6gretap", "erspan", "ip6erspan", "xfrm"] as const;

/** linux/if_arp.h: ARPHRD_TUNNEL, _TUNNEL6, _SIT, _IPGRE, _IP6GRE. */
const ARPHRD_KINDS: Readonly<Record<string, string>> = { 768: "ipip", 769: "ip6tnl", 776: "sit", 778: "gre", 823: "ip6gre" };

/** @returns links with their kinds, of those that were asked for by kind. */
export function hiddenTunnels(objects: readonly KernelObject[]): readonly (readonly [string, string])[] {
  return objects.flatMap(({ ifname, linkinfo }) => {
    const kind = HIDDEN_KINDS.find((one) => one === linkinfo?.info_kind);
    return ifname === undefined || kind === undefined ? [] : [[ifname, kind] as const];
  });
}

/** @returns the kind of tunnel as sysfs shows it; undefined for a link that is none. */
export async function tunnelKind(link: string, type: string): Promise<string | undefined> {
  if (await isThere(join(link, "tun_flags"))) return "tun";
  const device = /^DEVTYPE=(\w+)$/mu.exec(await attribute(link, "uevent"))?.[1] ?? "";
  return device in KINDS ? device : ARPHRD_KINDS[type];
}

/** What carries a tunnel of which no more than its kind is known. */
export function unknownBelow(kind: string): readonly NetworkTunnel[] {
  return (KINDS[kind] ?? []).map((protocol) => ({ link: undefined, protocol, peer: undefined, port: undefined }));
}

export interface TunnelPrograms {
  readonly ip: string;
  readonly wg: string;
}

type Kinds = ReadonlyMap<string, string>;
type Carried = ReadonlyMap<string, readonly NetworkTunnel[]>;

/**
 * @param kinds the tunnels of the machine with their kinds.
 * @param objects what the kernel lists about them.
 * @param ipsec far ends of IPsec tunnels to the targets.
 * @param ways the links that lead to the targets.
 * @returns what carries each tunnel. IPsec is told of the link by which its packets leave, and of
 *   its own link to a target, where it has one.
 * @throws Fault of {@link askKernel}.
 */
export async function carriersOf(
  programs: TunnelPrograms,
  kinds: Kinds,
  objects: readonly KernelObject[],
  ipsec: readonly string[],
  ways: readonly string[],
): Promise<Carried> {
  const { ends, marks } = await wireGuardEnds(programs.wg, kinds);
  const found = [...kinds].map(([name, kind]) => [name, ends.get(name) ?? listed(kind, name, objects)] as const);
  const peers = found.flatMap(([name, below]) => below.flatMap(({ peer }) => (peer === undefined ? [] : [{ name, peer }])));
  const asked = [...peers.map(({ name, peer }) => getRoute(peer, marks.get(name))), ...ipsec.map((peer) => getRoute(peer))];
  const answer = asked.length === 0 ? [] : (await askKernel(programs.ip, [...new Set(asked)])).objects;
  const leaves = new Map(answer.map(({ dst, dev }) => [dst, dev]));
  const carried = new Map<string, readonly NetworkTunnel[]>(
    found.map(([name, below]) => [name, below.map((one) => ({ ...one, link: leaves.get(one.peer) }))]),
  );
  for (const peer of ipsec) {
    const link = leaves.get(peer);
    if (link === undefined) continue;
    const own = ways.filter((way) => (KINDS[kinds.get(way) ?? ""] ?? []).includes("esp"));
    for (const one of own.length > 0 ? own : [link]) {
      const told = (carried.get(one) ?? []).filter(({ peer: end }) => end !== undefined);
      carried.set(one, [...told, ...ipsecTo(peer, link)]);
    }
  }
  return carried;
}

export function getRoute(address: string, mark = ""): string {
  return `route get ${address}${mark === "" ? "" : ` mark ${mark}`}`;
}

function listed(kind: string, name: string, objects: readonly KernelObject[]): readonly NetworkTunnel[] {
  const data = objects.find(({ ifname }) => ifname === name)?.linkinfo?.info_data;
  const remote = data?.remote ?? data?.remote6 ?? "";
  const peer = isIP(remote) === 0 || /^(?:0\.0\.0\.0|::)$/u.test(remote) ? undefined : remote;
  const encapsulated = data?.encap?.dport;
  const protocols = encapsulated === undefined ? (KINDS[kind] ?? []) : (["udp"] as const);
  return protocols.map((protocol) => ({ link: undefined, protocol, peer, port: encapsulated ?? data?.port }));
}

/** Programs that speak WireGuard over a tun device answer wg too. */
async function wireGuardEnds(wg: string, kinds: Kinds) {
  const ends = new Map<string, readonly NetworkTunnel[]>();
  const asks = [...kinds.values()].some((kind) => kind === "wireguard" || kind === "tun");
  const marks = new Map<string, string>();
  const endpoints = asks ? await askWireGuard(wg, "endpoints") : undefined;
  if (endpoints === undefined) return { ends, marks };
  for (const [name = "", , endpoint = ""] of endpoints) {
    const [, address = "", port = ""] = /^\[?([0-9A-Fa-f.:]+)\]?:(\d{1,5})$/u.exec(endpoint) ?? [];
    const known = isIP(address) > 0 && (ends.get(name)?.length ?? 0) < TUNNEL_PEERS_MAX;
    const end = { link: undefined, protocol: "udp", peer: address, port: Number(port) } as const;
    if (known) ends.set(name, [...(ends.get(name) ?? []), end]);
  }
  for (const [name = "", mark = ""] of (await askWireGuard(wg, "fwmark")) ?? [])
    if (/^0x[0-9a-f]{1,8}$/u.test(mark)) marks.set(name, mark);
  return { ends, marks };
}

/** RFC 4303, and RFC 3948 with the port of the key exchange (RFC 7296). */
function ipsecTo(peer: string, link: string): readonly NetworkTunnel[] {
  return [
    { link, protocol: "esp", peer, port: undefined },
    { link, protocol: "udp", peer, port: 500 },
    { link, protocol: "udp", peer, port: 4500 },
  ];
}

/** One way out by IPsec. */
export interface IpsecPolicy {
  /** What goes this way, as a prefix. */
  readonly to: string;
  readonly peer: string;
}

/** As `ip xfrm policy list dir out` prints them: a selector, and a template for each step. */
export function ipsecPolicies(lines: readonly string[]): readonly IpsecPolicy[] {
  const found: IpsecPolicy[] = [];
  let to = "";
  for (const line of lines) {
    to = /^src \S+ dst ([0-9a-f.:/]+)/u.exec(line)?.[1] ?? to;
    const peer = /^\s+tmpl src \S+ dst ([0-9a-f.:]+)/u.exec(line)?.[1] ?? "";
    if (isIP(peer) > 0 && found.length < TUNNEL_PEERS_MAX) found.push({ to, peer });
  }
  return found;
}
