// The risks of a plan: what it would cut that must not be cut. They are reported before it is
// applied. [LCK-31]
import { contains, type NetworkRule, parsePrefix, type Plan } from "../format/index.ts";
import type { LinkFacts, MachineFacts } from "../machine-facts.ts";

/** A packet that asks to pass. */
export interface Packet {
  readonly direction: NetworkRule["direction"];
  readonly link: string;
  readonly protocol: NetworkRule["protocol"];
  /** Undefined for an address that is not known yet. Only a rule for anybody lets it pass. */
  readonly address: string | undefined;
  readonly port: number;
  readonly sourcePort: number;
}

/**
 * The packet filter's verdict on the first packet of a connection. It is computed from the meaning
 * of {@link Plan.networkRules}, independently of their text.
 */
export function passes(plan: Plan, packet: Packet): boolean {
  const link = plan.links.find(({ name }) => name === packet.link);
  const address = packet.address === undefined ? undefined : parsePrefix(packet.address);
  if (link === undefined || (address?.family === 6 && !link.ipv6)) return false;
  return plan.networkRules.some((rule) => {
    if (rule.direction !== packet.direction || rule.protocol !== packet.protocol) return false;
    if (rule.link !== null && rule.link !== packet.link) return false;
    if (rule.near !== undefined) return false; // the packet does not tell the near side
    if (rule.sourcePort !== null && rule.sourcePort !== packet.sourcePort) return false;
    if (!rule.ports.some(([from, to]) => from <= packet.port && packet.port <= to)) return false;
    if (rule.peers === null) return true;
    const peers = rule.peers === "management" ? plan.management : rule.peers;
    return address !== undefined && peers.some((text) => isWithin(text, address));
  });
}

function isWithin(text: string, address: NonNullable<ReturnType<typeof parsePrefix>>): boolean {
  const prefix = parsePrefix(text);
  return prefix !== undefined && contains(prefix, address);
}

/**
 * [LCK-31] @returns what would be lost, as texts for the author of the policy; empty when the
 * device stays reachable and mendable.
 */
export function risksOf(plan: Plan, facts: MachineFacts): readonly string[] {
  const uplinks = facts.links.filter(({ uplink }) => uplink);
  const ways = uplinks.filter(({ name }) => plan.links.some((link) => link.name === name));
  const cut = uplinks.length > 0 && ways.length === 0;
  return [
    ...(cut ? [`none of the interfaces that lead to the hub is in "links": ${uplinks.map(({ name }) => name).join(", ")}`] : []),
    ...ways.flatMap((link) => [...dhcpRisks(plan, link), ...usbRisks(plan, link)]),
    ...(cut ? [] : routeRisks(plan, facts, ways)),
    ...consoleRisks(plan, facts),
  ];
}

/**
 * At least one way each must remain: to the hub, and to the name servers where the hub has a name.
 */
function routeRisks(plan: Plan, facts: MachineFacts, ways: readonly LinkFacts[]): readonly string[] {
  const links = ways.length > 0 ? ways.map(({ name }) => name) : plan.links.map(({ name }) => name);
  const reaches = (protocol: NetworkRule["protocol"], address: string | undefined, port: number): boolean =>
    links.some((link) => passes(plan, { direction: "out", link, protocol, address, port, sourcePort: 49_152 }));
  const hub = facts.hub
    .filter(({ address, port }) => !reaches("tcp", address, port))
    .map(({ address, port }) => `the hub cannot be reached: ${address ?? "its name"}, TCP port ${port}`);
  const named = facts.hub.some(({ address }) => address === undefined);
  const servers = named ? facts.nameServers.filter((server) => parsePrefix(server) !== undefined) : [];
  const unresolvable = servers.length > 0 && !servers.some((server) => reaches("udp", server, 53));
  return [
    ...hub,
    ...(unresolvable ? [`the hub's name cannot be looked up: "outbound" has no UDP port 53 to ${servers.join(" or ")}`] : []),
  ];
}

/** [LCK-50] A text says by which trace the use is known. */
function dhcpRisks(plan: Plan, { name, dhcp4, dhcp6, dhcp4Trace, dhcp6Trace }: LinkFacts): readonly string[] {
  const planned = plan.links.find((link) => link.name === name);
  const by = (trace: string | undefined): string => (trace === undefined ? "" : ` (by ${trace})`);
  return [
    ...(dhcp4 === "used" && planned?.dhcp4 !== true
      ? [`"${name}" has its address by DHCP${by(dhcp4Trace)}, and "dhcp4" is not set`]
      : []),
    ...(dhcp6 === "used" && planned?.dhcp6 !== true
      ? [`"${name}" has its address by DHCPv6${by(dhcp6Trace)}, and "dhcp6" is not set`]
      : []),
  ];
}

/** Covers the modem behind an uplink, and every USB hub on the way to it. */
function usbRisks(plan: Plan, { name, usb }: LinkFacts): readonly string[] {
  if (usb === undefined) return [];
  return plan.usb.devices
    .filter(({ port, authorized }) => !authorized && (usb === port || usb.startsWith(`${port}.`)))
    .map(({ port, why }) => `"${name}" is the USB device at "${usb}", and "${port}" is refused: ${why}`);
}

function consoleRisks(plan: Plan, { console }: MachineFacts): readonly string[] {
  const remains = console === undefined || plan.serial.console === console || plan.serial.lines.includes(console);
  return remains ? [] : [`the console is on "${console}", and "serial" names ${plan.serial.console ?? "no line"}`];
}
