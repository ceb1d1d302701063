// The early firewall: the network rules in force from before the network comes up until the warden
// replaces the table by its own. When the warden cannot start, they stay in force: nothing gets in,
// and a repair can still be downloaded. [LCK-30] [LCK-3]

/** RFC 4861: accepted only from the link itself, which a hop limit of 255 proves. */
const neighbours = (third: "nd-router-advert" | "nd-router-solicit"): string =>
  `ip6 hoplimit 255 icmpv6 type { nd-neighbor-advert, nd-neighbor-solicit, ${third} } accept`;

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
    "ct state related meta l4proto { 1, 58 } accept",
    neighbours("nd-router-advert"),
    // RFC 2131 section 4.1, RFC 8415 section 7.2: answers to a broadcast or multicast belong to no
    // connection that the kernel tracks.
    "udp sport 67 udp dport 68 accept",
    "ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept",
  ];
  const output = [
    "type filter hook output priority filter; policy drop;",
    'oifname "lo" accept',
    neighbours("nd-router-solicit"),
    "icmpv6 type mld2-listener-report accept",
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
