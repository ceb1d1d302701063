// The packet filter's table as text, in the canonical form that hal/linux/firewall reads back.
// [LCK-2] [LCK-5] [LCK-6]
import { type NetworkRule, parsePrefix, type Plan } from "../format/index.ts";

type TableContents = Pick<Plan, "links" | "management" | "echo" | "networkRules">;
type Direction = NetworkRule["direction"];

/**
 * RFC 4861: only from the link itself, which a hop limit of 255 proves. Router advertisements come
 * in, solicitations go out.
 */
const NEIGHBOURS = {
  in: "nd-neighbor-advert, nd-neighbor-solicit, nd-router-advert",
  out: "nd-neighbor-advert, nd-neighbor-solicit, nd-router-solicit",
} as const;

/**
 * RFC 3810, and RFC 2710 for older routers: a switch with multicast snooping forwards no
 * solicitation to a device that never reported that it listens, or that did not answer the queries
 * after. Both stay on the link: their hop limit is 1, and a query comes from a link-local address.
 * (RFC 4890, section 4.4.1)
 */
const LISTENERS = {
  in: "ip6 saddr fe80::/10 ip6 hoplimit 1 icmpv6 type mld-listener-query",
  out: "ip6 hoplimit 1 icmpv6 type { mld-listener-done, mld-listener-report, mld2-listener-report }",
} as const;

/**
 * [LCK-2] For IPv4 and IPv6 alike it drops what comes in, rejects what goes out (so that a local
 * program learns at once that it may not) and forwards nothing. Then come the network rules.
 *
 * [LCK-6] Only the answers of a connection pass because they are answers. Its first direction is
 * judged packet by packet, so a rule that is removed ends the connections that were made under it,
 * the tunnel included.
 */
export function renderTable(contents: TableContents): string {
  const blocks = [
    ...managementSets(contents.management),
    ["chain input {", ...chainLines("in", contents), "}"],
    ["chain forward {", "\ttype filter hook forward priority filter; policy drop;", "}"],
    ["chain output {", ...chainLines("out", contents), ...refusals("out", "").map((line) => `\t${line}`), "}"],
  ];
  return `table inet sallyport {\n${blocks.map((lines) => lines.map((line) => `\t${line}\n`).join("")).join("\n")}}\n`;
}

function managementSets(management: readonly string[]): readonly string[][] {
  return ([4, 6] as const).flatMap((family) => {
    const own = ofFamily(management, family);
    if (own.length === 0) return [];
    const elements = `\telements = { ${[...own].sort().join(", ")} }`;
    return [[`set management${family} {`, `\ttype ipv${family}_addr`, "\tflags interval", elements, "}"]];
  });
}

function chainLines(direction: Direction, contents: TableContents): readonly string[] {
  const { links, networkRules } = contents;
  const link = direction === "in" ? "iifname" : "oifname";
  const hook = direction === "in" ? "input" : "output";
  const names = links.map(({ name }) => name);
  const head = [`type filter hook ${hook} priority filter; policy drop;`, `${link} "lo" accept`];
  if (names.length === 0) return head.map((line) => `\t${line}`);
  // a reset in the same rule as a family gets lost in nft's listing
  const refuse = direction === "in" ? "drop" : "reject with icmpx admin-prohibited";
  const onlyIpv4 = links.filter(({ ipv6 }) => !ipv6).map(({ name }) => name);
  const withIpv6 = links.filter(({ ipv6 }) => ipv6).map(({ name }) => name);
  const lines = [
    ...head,
    ...refusals(direction, `${link} != ${quotedSet(names)} `),
    ...(onlyIpv4.length === 0 ? [] : [`${link} ${quotedSet(onlyIpv4)} meta nfproto ipv6 ${refuse}`]),
    "ct state established ct direction reply accept",
    `ct state related meta l4proto { ${PROTOCOL.icmp}, ${PROTOCOL.icmpv6} } accept`,
    multicastMembership4(`${link} ${quotedSet(names)}`),
    ...(withIpv6.length === 0 ? [] : neighbours(direction, `${link} ${quotedSet(withIpv6)}`)),
    ...(direction === "in" ? echoRules(contents) : []),
    ...networkRules.filter((rule) => rule.direction === direction).flatMap((rule) => ruleLines(rule, link, contents.management)),
  ];
  return lines.map((line) => `\t${line}`);
}

/**
 * IANA's numbers: nft takes names of protocols from /etc/protocols, which a small image does not
 * have.
 */
const PROTOCOL = { icmp: 1, igmp: 2, ipip: 4, tcp: 6, udp: 17, ipv6: 41, gre: 47, esp: 50, icmpv6: 58 } as const;

/**
 * Incoming packets are dropped silently. A local program must learn at once that it may not send:
 * by a TCP reset, because Linux delivers its own ICMPv6 errors a second late.
 */
function refusals(direction: Direction, match: string): readonly string[] {
  if (direction === "in") return [`${match}drop`];
  return [`${match}meta l4proto ${PROTOCOL.tcp} reject with tcp reset`, `${match}reject with icmpx admin-prohibited`];
}

function neighbours(direction: Direction, link: string): readonly string[] {
  return [`${link} ip6 hoplimit 255 icmpv6 type { ${NEIGHBOURS[direction]} } accept`, `${link} ${LISTENERS[direction]} accept`];
}

/**
 * RFC 3376 and its older versions: queries come in and reports go out, with a TTL of 1. A device
 * reports only groups that a program of its own has joined.
 */
function multicastMembership4(link: string): string {
  return `${link} ip ttl 1 meta l4proto ${PROTOCOL.igmp} accept`;
}

function echoRules({ echo, management }: TableContents): readonly string[] {
  if (echo === "none") return [];
  return ([4, 6] as const).flatMap((family) => {
    const rule = `${family === 4 ? "icmp" : "icmpv6"} type echo-request accept`;
    if (echo === "any") return [rule];
    return ofFamily(management, family).length === 0 ? [] : [`${family === 4 ? "ip" : "ip6"} saddr @management${family} ${rule}`];
  });
}

/** One rule for each family where the far side is named, otherwise one for both. */
function ruleLines(
  { direction, link, protocol, ports, sourcePort, peers }: NetworkRule,
  linkKeyword: string,
  management: readonly string[],
): readonly string[] {
  const before = link === null ? [] : [`${linkKeyword} "${link}"`];
  const after = [
    ...(sourcePort === null ? [] : [`${protocol} sport ${sourcePort}`]),
    ports.length === 0
      ? `meta l4proto ${PROTOCOL[protocol]}`
      : `${protocol} dport ${set(ports.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)))}`,
    "accept",
  ];
  if (peers === null) return [[...before, ...after].join(" ")];
  return ([4, 6] as const).flatMap((family) => {
    const own = ofFamily(peers === "management" ? management : peers, family);
    if (own.length === 0) return [];
    const far = `${family === 4 ? "ip" : "ip6"} ${direction === "in" ? "saddr" : "daddr"}`;
    return [[...before, `${far} ${peers === "management" ? `@management${family}` : set(own)}`, ...after].join(" ")];
  });
}

function ofFamily(prefixes: readonly string[], family: 4 | 6): readonly string[] {
  return prefixes.filter((text) => parsePrefix(text)?.family === family);
}

function quotedSet(names: readonly string[]): string {
  return set(names.map((name) => `"${name}"`));
}

/** Sorted as text, a single element without braces: the canonical form of hal/linux/firewall. */
function set(elements: readonly string[]): string {
  const [only, ...more] = elements;
  return only !== undefined && more.length === 0 ? only : `{ ${[...elements].sort().join(", ")} }`;
}
