// The doors before the warden: what the packet filter holds from before the network comes up until the warden has put its own table in the place of this one.
// A warden that can't start leaves this in force: nothing comes in, and what mends the device can still be fetched. [LCK-1] [LCK-3]

/** RFC 4861: only from the link itself, which a hop limit of 255 shows. */
const neighbours = (third: "nd-router-advert" | "nd-router-solicit"): string =>
  `ip6 hoplimit 255 icmpv6 type { nd-neighbor-advert, nd-neighbor-solicit, ${third} } accept`;

/**
 * A table of the name that the warden replaces as a whole (hal/linux/firewall), for any network interface: which ones there are is not known yet.
 * Protocols by number: the image has no /etc/protocols.
 * @param hubPorts of TCP, to any address: the hub has a name.
 */
export function earlyFirewall(hubPorts: readonly number[]): string {
  const input = [
    "type filter hook input priority filter; policy drop;",
    'iifname "lo" accept',
    "ct state established ct direction reply accept",
    "ct state related meta l4proto { 1, 58 } accept",
    neighbours("nd-router-advert"),
    // RFC 2131 section 4.1, RFC 8415 section 7.2: answers to a broadcast or multicast belong to no connection the kernel knows
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
    // a local program hears at once that it may not
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
