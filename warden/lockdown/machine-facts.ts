// The machine as the planner sees it, read once for each plan: from /sys, /proc, the hub's anchors
// and the resolver's configuration.
import { type HubAddresses, hubAddresses } from "../../ota/format/anchors.ts";
import type { NetworkTunnel, Use, UsbState } from "../../hal/ports.ts";
import { parsePrefix } from "./format/index.ts";

export interface MachineFacts {
  /** Network interfaces except the loopback. */
  readonly links: readonly LinkFacts[];
  /** Addresses of the hub; always allowed. */
  readonly hub: readonly HubEndpoint[];
  /** Links that lead to the hub by the kernel's own word; empty when it named none. [LCK-41] */
  readonly leads: readonly string[];
  /** For each address of the hub, the links of which one must stay. [LCK-41] */
  readonly places?: readonly { readonly address: string; readonly links: readonly string[] }[];
  /** The same for each of {@link nameServers}. [LCK-42] */
  readonly serverPlaces?: MachineFacts["places"];
  /** Links that may lead to the hub, which could not be told. [LCK-41] */
  readonly mayLead: readonly string[];
  /** As in {@link NetworkFacts}. [LCK-42] */
  readonly nameServers: readonly string[];
  readonly nameService: Use;
  readonly dnsOverTls: Use;
  /** The tty of the maintenance console, without /dev/. */
  readonly console: string | undefined;
  readonly usb: UsbState;
}

export interface LinkFacts {
  readonly name: string;
  /** The hub is reached through it, or would be when another link is lost. */
  readonly uplink: Use;
  readonly dhcp4: Use;
  readonly dhcp6: Use;
  /** [LCK-41] What leads anywhere by it is IPv6. */
  readonly ipv6Only?: boolean;
  /** [LCK-50] What was read that tells it. */
  readonly dhcp4Trace?: string | undefined;
  readonly dhcp6Trace?: string | undefined;
  /** The port of the USB device that provides the interface. */
  readonly usb: string | undefined;
  /** What carries its packets, for a tunnel. [LCK-43] */
  readonly below: readonly NetworkTunnel[];
}

export interface HubEndpoint {
  /** Undefined when the hub has a name, so that its address is not known here. */
  readonly address: string | undefined;
  readonly port: number;
}

/** @param further endpoints that the agent's configuration adds: a proxy, port 443. */
export function hubEndpoints(anchors: HubAddresses, further: readonly HubEndpoint[] = []): readonly HubEndpoint[] {
  return hubAddresses(anchors)
    .map(({ host, port }): HubEndpoint => ({ address: parsePrefix(host) === undefined ? undefined : host, port }))
    .concat(further);
}
