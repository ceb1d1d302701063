// The parts of the machine that must not be cut off: the links that lead to the hub, the name
// servers, the console. [LCK-31]
import type { Network, NetworkFacts, NetworkLink, NetworkRoute, Use } from "../../hal/ports.ts";
import { contains, parsePrefix, type Prefix } from "./format/index.ts";
import type { HubEndpoint, LinkFacts, MachineFacts } from "./machine-facts.ts";

export interface ProtectedOptions {
  readonly network: Network;
  readonly console: string | undefined;
  readonly hubEndpoints: readonly HubEndpoint[];
}

/** @throws Fault of {@link Network.read}. */
export async function readProtected({ network, console, hubEndpoints }: ProtectedOptions): Promise<Omit<MachineFacts, "usb">> {
  const read = await network.read(hubEndpoints);
  const { links, routes, ways, detours, nameServers, nameService, dnsOverTls } = read;
  const known = new Set([...ways, ...hubEndpoints.flatMap(({ address }) => uplinksTo(address, routes))]);
  const names = [...new Set([...links.map(({ name }) => name), ...routes.map(({ link }) => link)])].sort();
  // where the kernel names the way, a detour is one more, even if the files show it as a backup
  const named = ways.length > 0 ? new Set(ways) : known;
  const mayLead = [
    ...(known.size > 0 || detours.length > 0 ? detours : names).filter((name) => !named.has(name)),
    ...connectedBy(read.reached ?? [], hubEndpoints),
  ];
  const isNamed = hubEndpoints.some(({ address }) => address === undefined);
  const routed = new Set([...routes.map(({ link }) => link), ...detours]);
  const mayCarry = carriers(links, routes, (name) => known.has(name) || routed.has(name));
  const uplink = ({ name, below }: NetworkLink): Use => {
    if (known.has(name)) return "used";
    // a hub that has a name may be behind any tunnel that something is sent through
    if (below.length > 0) return (isNamed || mayLead.includes(name)) && routed.has(name) ? "unknown" : "unused";
    return mayLead.includes(name) || mayCarry.has(name) ? "unknown" : "unused";
  };
  return {
    links: links.map((link) => ({ ...link, ...mattering(link, routes), uplink: uplink(link) })),
    leads: ways,
    mayLead,
    places: [...new Set(hubEndpoints.flatMap(({ address }) => address ?? []))].map((address) => {
      const way = read.reached?.find((one) => one.address === address)?.link;
      return { address, links: way === undefined ? uplinksTo(address, routes) : [way] };
    }),
    serverPlaces: nameServers.map((address) => ({ address, links: uplinksTo(address, routes) })),
    hub: hubEndpoints,
    nameServers,
    nameService,
    dnsOverTls,
    console,
  };
}

/**
 * [LCK-44] Where a link carries one family only, whether the other has its address by DHCP does not
 * matter for the way to the hub. A link that has no route yet may be waiting for either.
 */
function mattering(
  { name, dhcp4, dhcp6 }: NetworkLink,
  routes: readonly NetworkRoute[],
): Pick<LinkFacts, "dhcp4" | "dhcp6" | "ipv6Only"> {
  const own = routes.filter(
    ({ link, bytes: [first = 0], length }) => link === name && (length === 0 || (first !== 0xfe && first !== 0xff)),
  );
  const judged = (use: Use, family: 4 | 6): Use =>
    use === "unknown" && own.length > 0 && own.every((route) => route.family !== family) ? "unused" : use;
  const outward = own.filter(({ length }) => length === 0);
  const ipv6Only = outward.length > 0 && outward.every(({ family }) => family === 6);
  return { dhcp4: judged(dhcp4, 4), dhcp6: judged(dhcp6, 6), ipv6Only };
}

/**
 * [LCK-41] Connections to the hub's ports that leave by several links: one of them is to the hub,
 * and which one is not known.
 */
function connectedBy(reached: NonNullable<NetworkFacts["reached"]>, hub: readonly HubEndpoint[]): readonly string[] {
  const peers = reached.filter(({ address }) => hub.every((one) => one.address !== address));
  const links = [...new Set(peers.map(({ link }) => link))].sort();
  return links.length > 1 ? links : [];
}

/**
 * [LCK-43] Where a tunnel's packets leave could not be told: by a link that leads to the Internet,
 * or, when all of that goes through the tunnel itself, by any that has a route.
 */
function carriers(
  links: readonly NetworkLink[],
  routes: readonly NetworkRoute[],
  isRouted: (name: string) => boolean,
): ReadonlySet<string> {
  const untold = links.some(({ name, below }) => isRouted(name) && below.some(({ link }) => link === undefined));
  const plain = untold ? links.flatMap(({ name, below }) => (below.length === 0 ? [name] : [])) : [];
  const outward = routes.filter(({ length }) => length === 0).map(({ link }) => link);
  const leading = plain.filter((name) => outward.includes(name));
  return new Set(leading.length > 0 ? leading : plain.filter(isRouted));
}

/**
 * [LCK-41] What the files show, for a machine whose kernel could not be asked, and for the ways
 * that count when the first is lost. Uses the longest prefix, as the kernel does. A hub that has a
 * name may be anywhere, so every default route counts.
 */
function uplinksTo(address: string | undefined, routes: readonly NetworkRoute[]): readonly string[] {
  const hub = address === undefined ? undefined : parsePrefix(address);
  const fitting = routes.filter((route) => (hub === undefined ? route.length === 0 : leadsTo(route, hub)));
  const longest = Math.max(...fitting.map(({ length }) => length));
  return fitting.filter(({ length }) => length === longest).map(({ link }) => link);
}

function leadsTo({ family, bytes, length }: NetworkRoute, hub: Prefix): boolean {
  return contains({ family, bytes, length }, hub);
}
