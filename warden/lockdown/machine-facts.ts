// The machine as the planner sees it: read once, then planned on. Whoever makes it reads /sys, /proc, the anchors and the resolver's configuration.
import type { UsbState } from "../../hal/ports.ts";
import type { HubAnchors } from "../../ota/format/anchors.ts";
import { parsePrefix } from "./format/index.ts";

export interface MachineFacts {
  /** Network interfaces but the loopback. */
  readonly links: readonly LinkFacts[];
  /** Where the hub is; always allowed. */
  readonly hub: readonly HubEndpoint[];
  /** Addresses of the name servers in use, without those on this machine. */
  readonly nameServers: readonly string[];
  /** The tty of the maintenance console, without /dev/. */
  readonly console: string | undefined;
  readonly usb: UsbState;
}

export interface LinkFacts {
  readonly name: string;
  /** It has a default route: the hub is reached by it. */
  readonly uplink: boolean;
  readonly dhcp4: boolean;
  readonly dhcp6: boolean;
  /** The port of the USB device it sits on. */
  readonly usb: string | undefined;
}

export interface HubEndpoint {
  /** undefined: the hub has a name, so its address is not known here. */
  readonly address: string | undefined;
  readonly port: number;
}

/** @param further what the agent's configuration adds: a proxy, port 443. */
export function hubEndpoints(
  anchors: Pick<HubAnchors, "host" | "estPort" | "mqttPort">,
  further: readonly HubEndpoint[] = [],
): readonly HubEndpoint[] {
  const address = parsePrefix(anchors.host) === undefined ? undefined : anchors.host;
  return [...new Set([anchors.estPort, anchors.mqttPort])].map((port): HubEndpoint => ({ address, port })).concat(further);
}
