// The packet filter's table as text, in the canonical form that hal/linux/firewall reads back.
// [LCK-2] [LCK-5] [LCK-6]
import { mergeIntervals } from "../../../hal/format/intervals.ts";
import { type NetworkRule, parsePrefix, type Plan } from "../format/index.ts";
import { answerLines, askerSets, type Family, noteLine } from "./askers.ts";

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
 * [LCK-52] Errors about a packet that some rule let pass, also path MTU discovery (RFC 1191, RFC
 * 8201; RFC 4890 section 4.3.1). A redirect is none of them, though for IPv4 the kernel relates it
 * to a connection too: a neighbour that sends one would lead the device's packets where it likes.
 */
const ERRORS = [
  "ct state related icmp type { destination-unreachable, parameter-problem, time-exceeded } accept",
  "ct state related icmpv6 type { destination-unreachable, packet-too-big, parameter-problem, time-exceeded } accept",
] as const;

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
    ...askerSets(askedFamilies(contents)),
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
    const elements = `\telements = { ${mergeIntervals(own).join(", ")} }`;
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
    ...ERRORS,
    multicastMembership4(`${link} ${quotedSet(names)}`),
    ...(withIpv6.length === 0 ? [] : neighbours(direction, `${link} ${quotedSet(withIpv6)}`)),
    ...(direction === "in" ? echoRules(contents) : []),
    ...networkRules.filter((rule) => rule.direction === direction).flatMap((rule) => ruleLines(rule, link, contents)),
    ...(direction === "out" ? answerLines(networkRules, (name) => familiesOf(links, name)) : []),
  ];
  return lines.map((line) => `\t${line}`);
}

/**
 * IANA's numbers: nft takes names of protocols from /etc/protocols, which a small image does not
 * have.
 */
const PROTOCOL = { igmp: 2, ipip: 4, tcp: 6, udp: 17, ipv6: 41, gre: 47, esp: 50 } as const;

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
function ruleLines(rule: NetworkRule, linkKeyword: string, { links, management }: TableContents): readonly string[] {
  const { direction, link, protocol, ports, sourcePort, peers, near, answers } = rule;
  const before = [
    ...(link === null ? [] : [`${linkKeyword} "${link}"`]),
    ...(near === undefined ? [] : [`ip6 ${direction === "in" ? "daddr" : "saddr"} ${set(near)}`]),
  ];
  const after = [
    ...(sourcePort === null ? [] : [`${protocol} sport ${sourcePort}`]),
    ports.length === 0
      ? `meta l4proto ${PROTOCOL[protocol]}`
      : `${protocol} dport ${set(ports.map(([from, to]) => `${from}-${to}`))}`,
  ];
  const asked = answers === true && link !== null ? familiesOf(links, link) : [];
  if (peers === null)
    return [...asked.map((family) => noteLine(family, before, after)), [...before, ...after, "accept"].join(" ")];
  return ([4, 6] as const).flatMap((family) => {
    const own = ofFamily(peers === "management" ? management : peers, family);
    if (own.length === 0) return [];
    const far = `${family === 4 ? "ip" : "ip6"} ${direction === "in" ? "saddr" : "daddr"}`;
    const from = [...before, `${far} ${peers === "management" ? `@management${family}` : set(own)}`];
    return [...(asked.includes(family) ? [noteLine(family, from, after)] : []), [...from, ...after, "accept"].join(" ")];
  });
}

/** The families in which a door of this machine may be asked by multicast. */
function askedFamilies({ links, networkRules }: TableContents): readonly Family[] {
  const asked = networkRules.flatMap(({ answers, link }) => (answers === true && link !== null ? familiesOf(links, link) : []));
  return ([4, 6] as const).filter((family) => asked.includes(family));
}

function familiesOf(links: TableContents["links"], link: string): readonly Family[] {
  return links.some(({ name, ipv6 }) => name === link && ipv6) ? [4, 6] : [4];
}

function ofFamily(prefixes: readonly string[], family: 4 | 6): readonly string[] {
  return prefixes.filter((text) => parsePrefix(text)?.family === family);
}

function quotedSet(names: readonly string[]): string {
  return set(names.map((name) => `"${name}"`));
}

/**
 * The canonical form of hal/linux/firewall: the fewest elements, sorted as text, a single one
 * without braces. [LCK-60]
 */
function set(elements: readonly string[]): string {
  const [only = "", ...more] = mergeIntervals(elements);
  return more.length === 0 ? only : `{ ${[only, ...more].join(", ")} }`;
}
