// The names and numbers that nft lists for one value, depending on its version, on its options and
// on the machine's files. Here each value has one spelling, that of plans. [LCK-60]

/** IANA's numbers: nft takes the names from /etc/protocols, which a small image does not have. */
const PROTOCOLS: Readonly<Record<string, string>> = {
  icmp: "1",
  igmp: "2",
  tcp: "6",
  udp: "17",
  "ipv6-icmp": "58",
  icmpv6: "58",
};

/** nft's own names, by number (RFC 792, RFC 4443, RFC 4861, RFC 2710, RFC 3810). */
const ICMP_TYPES: Readonly<Record<string, string>> = {
  0: "echo-reply",
  3: "destination-unreachable",
  4: "source-quench",
  5: "redirect",
  8: "echo-request",
  9: "router-advertisement",
  10: "router-solicitation",
  11: "time-exceeded",
  12: "parameter-problem",
  13: "timestamp-request",
  14: "timestamp-reply",
};
const ICMPV6_TYPES: Readonly<Record<string, string>> = {
  1: "destination-unreachable",
  2: "packet-too-big",
  3: "time-exceeded",
  4: "parameter-problem",
  128: "echo-request",
  129: "echo-reply",
  130: "mld-listener-query",
  131: "mld-listener-report",
  132: "mld-listener-done",
  "mld-listener-reduction": "mld-listener-done",
  133: "nd-router-solicit",
  134: "nd-router-advert",
  135: "nd-neighbor-solicit",
  136: "nd-neighbor-advert",
  137: "nd-redirect",
  138: "router-renumbering",
  141: "ind-neighbor-solicit",
  142: "ind-neighbor-advert",
  143: "mld2-listener-report",
};

/** By the left side of a match. */
const VALUES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "meta l4proto": PROTOCOLS,
  "meta nfproto": { 2: "ipv4", 10: "ipv6" },
  "meta pkttype": { 0: "host", 1: "broadcast", 2: "multicast", 3: "other", unicast: "host" },
  "ct state": { 1: "invalid", 2: "established", 4: "related", 8: "new", 64: "untracked" },
  "ct direction": { 0: "original", 1: "reply" },
  "icmp type": ICMP_TYPES,
  "icmpv6 type": ICMPV6_TYPES,
};

/** The spelling of a value that stands on the right of `left`. */
export function nameOf(left: string, value: string): string {
  const names = Object.hasOwn(VALUES, left) ? VALUES[left] : undefined;
  return names !== undefined && Object.hasOwn(names, value) ? (names[value] ?? value) : value;
}

/** linux/netfilter/nf_tables.h, NFT_REJECT_ICMPX_*. */
const ICMPX_CODES: Readonly<Record<string, string>> = {
  0: "no-route",
  1: "port-unreachable",
  2: "host-unreachable",
  3: "admin-prohibited",
};

/** How something is rejected. nft(8): without more, it is by an unreachable port. */
export function rejectionOf({
  type = "icmpx",
  expr,
}: {
  readonly type?: string | undefined;
  readonly expr?: string | number | undefined;
}): string {
  if (type !== "icmpx") return [type, expr ?? []].flat().join(" ");
  const code = String(expr ?? "port-unreachable");
  return `icmpx ${Object.hasOwn(ICMPX_CODES, code) ? (ICMPX_CODES[code] ?? code) : code}`;
}

/** nft(8), the standard priorities of the families ip, ip6 and inet. */
const PRIORITIES: Readonly<Record<string, string>> = {
  "-300": "raw",
  "-150": "mangle",
  "-100": "dstnat",
  "0": "filter",
  "50": "security",
  "100": "srcnat",
};

export function priorityOf(prio: string | number): string {
  const text = String(prio);
  return Object.hasOwn(PRIORITIES, text) ? (PRIORITIES[text] ?? text) : text;
}
