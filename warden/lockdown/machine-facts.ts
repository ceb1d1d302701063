// The machine as the planner sees it, read once for each plan: from /sys, /proc, the hub's anchors
// and the resolver's configuration.
import type { UsbState } from "../../hal/ports.ts";
import { type HubAddresses, hubAddresses } from "../../ota/format/anchors.ts";
import { parsePrefix } from "./format/index.ts";

export interface MachineFacts {
  /** Network interfaces except the loopback. */
  readonly links: readonly LinkFacts[];
  /** Addresses of the hub; always allowed. */
  readonly hub: readonly HubEndpoint[];
  /** Addresses of the name servers in use, except those on this machine. */
  readonly nameServers: readonly string[];
  /** The tty of the maintenance console, without /dev/. */
  readonly console: string | undefined;
  readonly usb: UsbState;
}

export interface LinkFacts {
  readonly name: string;
  /** The interface has a default route, so the hub is reached through it. */
  readonly uplink: boolean;
  readonly dhcp4: boolean;
  readonly dhcp6: boolean;
  /** The port of the USB device that provides the interface. */
  readonly usb: string | undefined;
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
