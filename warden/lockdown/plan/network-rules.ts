// The network rules: which packets may pass, as data derived from the policy and the machine, each
// rule once and in a fixed order. [LCK-2] [LCK-3] [LCK-4]
import { canonicalJson } from "../../../hal/format/json.ts";
import { contains, type NetworkRule, parsePrefix, type Plan, type Policy, type Prefix } from "../format/index.ts";
import type { MachineFacts } from "../machine-facts.ts";
import { isTunnel } from "./carriers.ts";

type Link = Plan["links"][number];
type Range = readonly [number, number];
type Ports = Policy["network"]["inbound"][number]["ports"];

const DNS: Range = [53, 53];
/** RFC 7858. */
const DNS_OVER_TLS_PORT = 853;
/**
 * Where tunnels usually end: IPsec and its way through NAT (500, 4500), OpenVPN (1194), WireGuard
 * (51820), Tailscale (41641), and 443, which networks let through.
 */
const TUNNEL_UDP_PORTS: readonly Range[] = [443, 500, 1194, 4500, 41_641, 51_820].map((port) => [port, port]);
const TUNNEL_TCP_PORTS: readonly Range[] = [443, 1194].map((port) => [port, port]);

/** RFC 4291 section 2.5.6: what has such an address on either side stays on the link. */
const ON_LINK = ["fe80::/10"];

/** [LCK-3] The way to the hub, which no policy can close. */
export function hubRules({ hub }: MachineFacts): readonly NetworkRule[] {
  return hub.map(({ address, port }) => out("tcp", [[port, port]], address === undefined ? null : [address], "hub"));
}

/** [LCK-40] What the way to the hub needs where no policy names it: outbound, and nothing else. */
export function shutRules(facts: MachineFacts, links: readonly Link[]): readonly NetworkRule[] {
  return [...nameServiceRules(facts), ...tunnelRules(facts), ...clientRules(facts, links)];
}

/** [LCK-42] Where the hub has a name: to the machine's name servers, or to anybody's. */
function nameServiceRules({ hub, nameServers, nameService, dnsOverTls }: MachineFacts): readonly NetworkRule[] {
  if (hub.every(({ address }) => address !== undefined)) return [];
  const isUnknown = nameService === "unknown";
  const servers = nameServers.filter((server) => parsePrefix(server) !== undefined);
  if (servers.length === 0 && !isUnknown) return [];
  const [peers, why] = isUnknown ? ([null, "name-service-unknown"] as const) : ([servers, "name-service"] as const);
  return [
    out("udp", [DNS], peers, why),
    out("tcp", dnsOverTls === "unused" ? [DNS] : [DNS, [DNS_OVER_TLS_PORT, DNS_OVER_TLS_PORT]], peers, why),
  ];
}

/**
 * [LCK-43] The outer packets of a tunnel that the hub is, or may be, reached through: to the far
 * end that the kernel names. Where it names none, to the ports where tunnels usually end.
 */
function tunnelRules({ links }: MachineFacts): readonly NetworkRule[] {
  return links
    .filter(({ uplink }) => uplink !== "unused")
    .flatMap(({ below }) => below)
    .flatMap(({ protocol, peer, port }): readonly NetworkRule[] => {
      const [peers, why] = peer === undefined ? ([null, "tunnel-unknown"] as const) : ([[peer], "tunnel"] as const);
      if (protocol !== "udp") return [out(protocol, [], peers, why)];
      if (port !== undefined) return [out("udp", [[port, port]], peers, why)];
      return [out("udp", TUNNEL_UDP_PORTS, peers, why), out("tcp", TUNNEL_TCP_PORTS, peers, why)];
    });
}

/**
 * [LCK-44] A DHCP client that may run on a link whose policy does not name it. Clients for IPv4
 * read the answers to broadcasts beside the packet filter. An answer to a multicast (RFC 8415
 * section 7.1) belongs to no connection: it alone may come in, from a neighbour's server.
 */
function clientRules({ links: found }: MachineFacts, links: readonly Link[]): readonly NetworkRule[] {
  return links.flatMap((link) => {
    const own = found.find(({ name }) => name === link.name);
    if (own === undefined || own.uplink === "unused" || isTunnel(own)) return [];
    const { dhcp4, dhcp6 } = own;
    const why = "dhcp-unknown";
    return [
      ...(dhcp4 === "unknown" && !link.dhcp4 ? [dhcp(link.name, "out", 67, null, why)] : []),
      ...(dhcp6 === "unknown" && !link.dhcp6 && link.ipv6
        ? [{ ...dhcp(link.name, "in", 546, ON_LINK, why), sourcePort: 547 }, dhcp(link.name, "out", 547, null, why)]
        : []),
    ];
  });
}

/**
 * [LCK-45] RFC 7766: a name whose answer does not fit UDP is asked for again by TCP, at the same
 * server. Where the hub has a name, a policy that opens UDP port 53 opens TCP port 53 with it.
 */
export function longAnswerRules({ hub }: MachineFacts, rules: readonly NetworkRule[]): readonly NetworkRule[] {
  if (hub.every(({ address }) => address !== undefined)) return [];
  const asks = rules.filter(({ direction, ports }) => direction === "out" && ports.some(([from, to]) => from <= 53 && 53 <= to));
  const key = ({ link, peers }: NetworkRule): string => canonicalJson([link, peers]);
  const byTcp = new Set(asks.filter(({ protocol }) => protocol === "tcp").map(key));
  return asks
    .filter((rule) => rule.protocol === "udp" && !byTcp.has(key(rule)))
    .map((rule) => ({ ...rule, protocol: "tcp", ports: [[53, 53]], why: "name-service" }));
}

/**
 * [LCK-53] RFC 2131 section 4.1 (ports 67, 68) and RFC 8415 section 7.2 (ports 546, 547). Answers
 * to a broadcast or multicast belong to no connection that the kernel knows. Neither standard binds
 * the server's answer to an address or port: a server or relay agent has several, and whoever means
 * harm chooses both. DHCPv6 is bound to the link instead, by either side's address.
 */
export function dhcpRules(links: readonly Link[]): readonly NetworkRule[] {
  return links.flatMap(({ name, dhcp4, dhcp6 }) => [
    ...(dhcp4 ? [dhcp(name, "in", 68, null), dhcp(name, "out", 67, null)] : []),
    ...(dhcp6
      ? [dhcp(name, "in", 546, ON_LINK), { ...dhcp(name, "in", 546, null), near: ON_LINK }, dhcp(name, "out", 547, null)]
      : []),
  ]);
}

/** Requested by broadcast or multicast, renewed by unicast: so it goes out to any address. */
function dhcp(
  link: string,
  direction: NetworkRule["direction"],
  port: number,
  peers: string[] | null,
  why: NetworkRule["why"] = "dhcp",
): NetworkRule {
  return { direction, link, protocol: "udp", ports: [[port, port]], sourcePort: null, peers, why };
}

/**
 * [LCK-2] The rules that the policy names, on links that it names. An entry for another link opens
 * nothing.
 */
export function policyRules(policy: Policy): readonly NetworkRule[] {
  const known = new Set(policy.links.map(({ name }) => name));
  const inbound = policy.network.inbound.map(({ link, protocol, ports, sourcePort = null, from }): NetworkRule => ({
    direction: "in",
    link,
    protocol,
    ports: ranges(ports),
    sourcePort,
    peers: from === "any" ? null : "management",
    why: "policy",
    // [LCK-62] nothing is asked by multicast over TCP
    ...(protocol === "udp" ? { answers: true } : {}),
  }));
  const outbound = policy.network.outbound.map(({ link, protocol, ports, sourcePort = null, to }): NetworkRule => ({
    ...out(protocol, ranges(ports), to === "any" ? null : to, "policy"),
    link: link ?? null,
    sourcePort,
  }));
  return [...inbound, ...outbound].filter(
    ({ link, peers }) => (link === null || known.has(link)) && (peers !== "management" || policy.network.management.length > 0),
  );
}

function out(
  protocol: NetworkRule["protocol"],
  ports: readonly Range[],
  peers: readonly string[] | null,
  why: NetworkRule["why"],
): NetworkRule {
  return {
    direction: "out",
    link: null,
    protocol,
    ports: mergeRanges(ports),
    sourcePort: null,
    peers: peers === null ? null : uniquePrefixes(peers),
    why,
  };
}

/**
 * [LCK-4] Rules that differ only in their ports become one. The order does not depend on the order
 * of the input.
 */
export function mergeRules(rules: readonly NetworkRule[]): readonly NetworkRule[] {
  const merged = new Map<string, NetworkRule>();
  for (const rule of rules) {
    const key = canonicalJson({ ...rule, ports: [] });
    merged.set(key, { ...rule, ports: mergeRanges([...(merged.get(key)?.ports ?? []), ...rule.ports]) });
  }
  return [...merged].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, rule]) => rule);
}

/**
 * Sorted, without prefixes that lie within another: the kernel refuses sets whose elements overlap.
 */
export function uniquePrefixes(texts: readonly string[]): string[] {
  const prefixes = [...new Set(texts)].flatMap((text): { text: string; prefix: Prefix }[] => {
    const prefix = parsePrefix(text);
    return prefix === undefined ? [] : [{ text, prefix }];
  });
  return prefixes
    .filter((one) => !prefixes.some((other) => other !== one && contains(other.prefix, one.prefix)))
    .map(({ text }) => text)
    .sort();
}

function ranges(ports: Ports): [number, number][] {
  return mergeRanges(
    ports.map((port): Range => {
      if (typeof port === "number") return [port, port];
      const [from = 0, to = 0] = port.split("-").map(Number);
      return [from, to];
    }),
  );
}

/** Ascending, with adjacent ranges merged. */
export function mergeRanges(list: readonly Range[]): [number, number][] {
  const merged: [number, number][] = [];
  for (const [from, to] of [...list].sort((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  return merged;
}
