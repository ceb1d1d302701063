// The early firewall: the network rules in force from before the network comes up until the warden
// replaces the table by its own. When the warden cannot start, they stay in force: nothing gets in,
// and a repair can still be downloaded. [LCK-30] [LCK-3]

/**
 * What a device on a link needs, as docs/lockdown-table.md gives it. It is here too because this
 * table may stay: without answers to multicast queries a switch forgets the device after minutes.
 * [LCK-2] [LCK-52]
 */
const LINK = {
  errors: [
    "ct state related icmp type { destination-unreachable, parameter-problem, time-exceeded } accept",
    "ct state related icmpv6 type { destination-unreachable, packet-too-big, parameter-problem, time-exceeded } accept",
    "ip ttl 1 meta l4proto 2 accept",
  ],
  in: [
    // RFC 4861: accepted only from the link itself, which a hop limit of 255 proves.
    "ip6 hoplimit 255 icmpv6 type { nd-neighbor-advert, nd-neighbor-solicit, nd-router-advert } accept",
    "ip6 saddr fe80::/10 ip6 hoplimit 1 icmpv6 type mld-listener-query accept",
    // RFC 2131 section 4.1, RFC 8415 section 7.2: answers to a broadcast or multicast belong to no
    // connection that the kernel tracks, and come from any address and port. [LCK-53]
    "udp dport 68 accept",
    "ip6 saddr fe80::/10 udp dport 546 accept",
    "ip6 daddr fe80::/10 udp dport 546 accept",
  ],
  out: [
    "ip6 hoplimit 255 icmpv6 type { nd-neighbor-advert, nd-neighbor-solicit, nd-router-solicit } accept",
    "ip6 hoplimit 1 icmpv6 type { mld-listener-done, mld-listener-report, mld2-listener-report } accept",
  ],
} as const;

/**
 * The table has the name that the warden replaces as a whole (hal/linux/firewall). It applies to
 * any network interface, because the interfaces are not known yet. Protocols are given by number,
 * because the image has no /etc/protocols.
 * @param hubPorts TCP ports, open to any address, because the hub is known by its name.
 */
export function earlyFirewall(hubPorts: readonly number[]): string {
  const input = [
    "type filter hook input priority filter; policy drop;",
    'iifname "lo" accept',
    "ct state established ct direction reply accept",
    ...LINK.errors,
    ...LINK.in,
  ];
  const output = [
    "type filter hook output priority filter; policy drop;",
    'oifname "lo" accept',
    ...LINK.errors,
    ...LINK.out,
    "udp dport { 53, 67, 547 } accept",
    `tcp dport { ${[...new Set([53, ...hubPorts])].sort((a, b) => a - b).join(", ")} } accept`,
    // A local program gets an immediate error.
    "meta l4proto 6 reject with tcp reset",
    "reject with icmpx admin-prohibited",
  ];
  const chains = {
    input,
    forward: ["type filter hook forward priority filter; policy drop;"],
    output,
  };
  const blocks = Object.entries(chains).map(
    ([name, lines]) => `\tchain ${name} {\n${lines.map((line) => `\t\t${line}\n`).join("")}\t}\n`,
  );
  return `table inet sallyport {\n${blocks.join("\n")}}\n`;
}
