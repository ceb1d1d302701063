// The network rules: which packets may pass, as data derived from the policy and the machine, each
// rule once and in a fixed order. [LCK-2] [LCK-3] [LCK-4]
import { canonicalJson } from "../../../hal/format/json.ts";
import { contains, type NetworkRule, parsePrefix, type Plan, type Policy, type Prefix } from "../format/index.ts";
import type { MachineFacts } from "../machine-facts.ts";

type Link = Plan["links"][number];
type Range = readonly [number, number];
type Ports = Policy["network"]["inbound"][number]["ports"];

const DNS_PORT = 53;

/**
 * [LCK-3] The way to the hub, which no policy can close. Where the hub has a name and the policy is
 * shut, the machine's name servers too.
 */
export function necessaryRules(facts: MachineFacts, withNameService: boolean): readonly NetworkRule[] {
  const hub = facts.hub.map(({ address, port }) => out("tcp", [[port, port]], address === undefined ? null : [address], "hub"));
  if (!withNameService || facts.hub.every(({ address }) => address !== undefined)) return hub;
  const servers = facts.nameServers.filter((server) => parsePrefix(server) !== undefined);
  if (servers.length === 0) return hub;
  const dns = (["udp", "tcp"] as const).map((protocol) => out(protocol, [[DNS_PORT, DNS_PORT]], servers, "name-service"));
  return [...hub, ...dns];
}

/** RFC 4291 section 2.5.6: what has such an address on either side stays on the link. */
const ON_LINK = ["fe80::/10"];

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
function dhcp(link: string, direction: NetworkRule["direction"], port: number, peers: string[] | null): NetworkRule {
  return { direction, link, protocol: "udp", ports: [[port, port]], sourcePort: null, peers, why: "dhcp" };
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
