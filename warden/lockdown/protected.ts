// The parts of the machine that must not be cut off: the links that lead to the hub, the name
// servers, the console. [LCK-31]
import type { Network, NetworkLink, NetworkRoute, Use } from "../../hal/ports.ts";
import { contains, parsePrefix, type Prefix } from "./format/index.ts";
import type { HubEndpoint, MachineFacts } from "./machine-facts.ts";

export interface ProtectedOptions {
  readonly network: Network;
  readonly console: string | undefined;
  readonly hubEndpoints: readonly HubEndpoint[];
}

/** @throws Fault of {@link Network.read}. */
export async function readProtected({ network, console, hubEndpoints }: ProtectedOptions): Promise<Omit<MachineFacts, "usb">> {
  const { links, routes, ways, detours, nameServers, nameService, dnsOverTls } = await network.read(hubEndpoints);
  const known = new Set([...ways, ...hubEndpoints.flatMap(({ address }) => uplinksTo(address, routes))]);
  const names = [...new Set([...links.map(({ name }) => name), ...routes.map(({ link }) => link)])].sort();
  const mayLead = (known.size > 0 || detours.length > 0 ? detours : names).filter((name) => !known.has(name));
  const isNamed = hubEndpoints.some(({ address }) => address === undefined);
  const routed = new Set([...routes.map(({ link }) => link), ...detours]);
  const uplink = ({ name, below }: NetworkLink): Use => {
    if (known.has(name)) return "used";
    // a hub that has a name may be behind any tunnel that something is sent through
    if (below.length > 0) return (isNamed || mayLead.includes(name)) && routed.has(name) ? "unknown" : "unused";
    return mayLead.includes(name) ? "unknown" : "unused";
  };
  return {
    links: links.map((link) => ({ ...link, ...mattering(link, routes), uplink: uplink(link) })),
    leads: ways,
    mayLead,
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
function mattering({ name, dhcp4, dhcp6 }: NetworkLink, routes: readonly NetworkRoute[]): Pick<NetworkLink, "dhcp4" | "dhcp6"> {
  const own = routes.filter(
    ({ link, bytes: [first = 0], length }) => link === name && (length === 0 || (first !== 0xfe && first !== 0xff)),
  );
  const judged = (use: Use, family: 4 | 6): Use =>
    use === "unknown" && own.length > 0 && own.every((route) => route.family !== family) ? "unused" : use;
  return { dhcp4: judged(dhcp4, 4), dhcp6: judged(dhcp6, 6) };
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
