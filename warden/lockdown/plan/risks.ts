// The risks of a plan: what it would cut that must not be cut. They are reported before it is
// applied. [LCK-31]
import { type NetworkRule, parsePrefix, type Plan } from "../format/index.ts";
import type { LinkFacts, MachineFacts } from "../machine-facts.ts";
import { withCarriers } from "./carriers.ts";
import { notKnown } from "./not-known.ts";
import { passes } from "./passes.ts";

/**
 * [LCK-31] @returns what would be lost, as texts for the author of the policy; empty when the
 * device stays reachable and mendable.
 */
export function risksOf(plan: Plan, facts: MachineFacts): readonly string[] {
  const uplinks = facts.links.filter(({ uplink }) => uplink === "used");
  const ways = uplinks.filter(({ name }) => plan.links.some((link) => link.name === name));
  // a backup that stays is of no use: the kernel sends by the link that it has chosen
  const first = facts.leads.length > 0 ? facts.leads : uplinks.map(({ name }) => name);
  const needed = withCarriers(facts).links.filter(
    ({ name, uplink }) => uplink !== "unused" && plan.links.some((link) => link.name === name),
  );
  const cut = first.length > 0 && !first.some((name) => plan.links.some((link) => link.name === name));
  return [
    ...(cut ? [`none of the interfaces that lead to the hub is in "links": ${first.join(", ")}`] : []),
    ...(cut ? [] : placeRisks(plan, facts)),
    ...needed.flatMap((link) => [...dhcpRisks(plan, link), ...usbRisks(plan, link), ...tunnelRisks(plan, link)]),
    ...notKnown(plan, facts).flatMap(({ text, remedy }) =>
      remedy === undefined ? [] : [`${text}, and the policy would cut it: ${remedy}`],
    ),
    ...(cut ? [] : routeRisks(plan, facts, ways)),
    ...consoleRisks(plan, facts),
  ];
}

/**
 * [LCK-41] The hub's services may be at places that different links lead to. A renewal or a time
 * that cannot be had is missed long after the trial.
 */
function placeRisks(plan: Plan, { places = [] }: MachineFacts): readonly string[] {
  return places
    .filter(({ links }) => links.length > 0 && !links.some((name) => plan.links.some((link) => link.name === name)))
    .map(({ address, links }) => `${address} of the hub is reached by ${links.join(", ")}, which is not in "links"`);
}

/** [LCK-43] A tunnel that the policy names is of no use when its outer packets are cut. */
function tunnelRisks(plan: Plan, { name, below }: LinkFacts): readonly string[] {
  const known = below.filter(({ peer }) => peer !== undefined);
  const open = known.filter(({ link, protocol, peer, port }) =>
    plan.links.some(
      (one) =>
        (link === undefined ? one.name !== name : one.name === link) &&
        passes(plan, { direction: "out", link: one.name, protocol, address: peer, port, sourcePort: port ?? 0 }),
    ),
  );
  if (known.length === 0 || open.length > 0) return [];
  const outer = known.map(({ link, protocol, peer = "", port }) => {
    const end = `${protocol.toUpperCase()}${port === undefined ? "" : ` port ${port}`} to ${peer}`;
    return link === undefined ? end : `${end} by "${link}"`;
  });
  return [
    `the hub is reached through the tunnel "${name}", and its own packets are cut: name in "links" and "outbound" what they need, ${outer.join(" or ")}`,
  ];
}

/**
 * At least one way each must remain: to the hub, and to the name servers where the hub has a name.
 */
function routeRisks(plan: Plan, facts: MachineFacts, ways: readonly LinkFacts[]): readonly string[] {
  const links = ways.length > 0 ? ways.map(({ name }) => name) : plan.links.map(({ name }) => name);
  const reaches = (
    protocol: NetworkRule["protocol"],
    address: string | undefined,
    port: number,
    by: readonly string[] = links,
  ): boolean => by.some((link) => passes(plan, { direction: "out", link, protocol, address, port, sourcePort: 49_152 }));
  const hub = facts.hub
    .filter(({ address, port }) => !reaches("tcp", address, port))
    .map(({ address, port }) => `the hub cannot be reached: ${address ?? "its name"}, TCP port ${port}`);
  const named = facts.hub.some(({ address }) => address === undefined);
  const servers = named ? facts.nameServers.filter((server) => parsePrefix(server) !== undefined) : [];
  // a server may be on another link than those to the hub
  const linksTo = (server: string): readonly string[] => {
    const own = facts.serverPlaces?.find(({ address }) => address === server)?.links ?? [];
    return own.length > 0 ? own : links;
  };
  const asks = (protocol: "udp" | "tcp", port: number): boolean =>
    servers.some((server) => reaches(protocol, server, port, linksTo(server)));
  const unresolvable = facts.nameService === "used" && servers.length > 0 && !asks("udp", 53);
  const unencrypted = named && facts.dnsOverTls === "used" && !asks("tcp", 853);
  const missing = new Set(
    servers.flatMap((server) => linksTo(server)).filter((name) => !plan.links.some((one) => one.name === name)),
  );
  const where = `${servers.join(" or ")}${missing.size === 0 ? "" : `, and "links" lacks ${[...missing].join(", ")}`}`;
  const isDeaf = ({ name, ipv6Only = false }: LinkFacts): boolean =>
    ipv6Only && plan.links.some((link) => link.name === name && !link.ipv6);
  const deaf = named && ways.length > 0 && ways.every((link) => isDeaf(link));
  return [
    ...hub,
    ...(deaf ? [`the hub is reached by IPv6 only: "ipv6" is not set of ${ways.map(({ name }) => name).join(", ")}`] : []),
    ...(unencrypted ? [`the hub's name is looked up by TLS only: "outbound" has no TCP port 853 to ${where}`] : []),
    ...(unresolvable ? [`the hub's name cannot be looked up: "outbound" has no UDP port 53 to ${where}`] : []),
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
