// The parts of the machine that must not be cut off: the links that lead to the hub, the name
// servers, the console. [LCK-31]
import type { Network, NetworkRoute } from "../../hal/ports.ts";
import { contains, parsePrefix, type Prefix } from "./format/index.ts";
import type { HubEndpoint, MachineFacts } from "./machine-facts.ts";

export interface ProtectedOptions {
  readonly network: Network;
  readonly console: string | undefined;
  readonly hubEndpoints: readonly HubEndpoint[];
}

/** @throws Fault of {@link Network.read}. */
export async function readProtected({ network, console, hubEndpoints }: ProtectedOptions): Promise<Omit<MachineFacts, "usb">> {
  const { links, routes, nameServers } = await network.read();
  const uplinks = new Set(hubEndpoints.flatMap(({ address }) => uplinksTo(address, routes)));
  return {
    links: links.map((link) => ({ ...link, uplink: uplinks.has(link.name) })),
    hub: hubEndpoints,
    nameServers,
    console,
  };
}

/**
 * Uses the longest prefix, as the kernel does. A hub that has a name may be anywhere, so every
 * default route counts.
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
