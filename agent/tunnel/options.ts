// What the tunnel is given, and what it tells.
import type { Clock, DurableFiles } from "../../hal/ports.ts";
import type { Fault } from "../../hal/fault.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { HubAnchors } from "../../ota/format/anchors.ts";
import type { Endpoint } from "../../provisioning/tls/index.ts";
import type { DownChannel, StatusMessage } from "./format.ts";
import type { Timeouts } from "./limits.ts";
import type { Mqtt } from "./machine.ts";
import type { Spool } from "./spool/index.ts";
import type { StreamFacts, TlsVersion } from "./stream.ts";

export interface ConnectedFacts extends StreamFacts {
  readonly mqtt: Mqtt;
}

export interface TunnelOptions {
  readonly deviceId: DeviceId;
  readonly anchors: Pick<HubAnchors, "host" | "mqttPort" | "authority">;
  /** Where to connect instead of the hub's own host and port; the name checked stays the hub's. */
  readonly connectTo: Endpoint | undefined;
  readonly alpn: string | undefined;
  readonly proxy: Endpoint | undefined;
  readonly minTls: TlsVersion;
  readonly keepaliveS: number;
  /** Asked before every connection; the same texts as the last time mean the same TLS context. */
  readonly credentials: () => Promise<{ readonly cert: string; readonly key: string }>;
  /** Closed by whoever opened it, after {@link Tunnel.stop}. */
  readonly spool: Spool;
  /** Where it is remembered that a broker speaks 3.1.1 only. */
  readonly files: DurableFiles;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly timeouts: Timeouts;
  /** Body of the birth message for the connection that is now up. [TUN-9] */
  readonly birth: (facts: ConnectedFacts) => StatusMessage["body"];
  readonly onEvent: (event: TunnelEvent) => void;
}

export type TunnelEvent =
  | { readonly kind: "connected"; readonly facts: ConnectedFacts }
  /** A connection that had its CONNACK is over. */
  | { readonly kind: "disconnected"; readonly by: "peer" | "fault" | "us"; readonly fault: Fault }
  /** No CONNACK: `tls.hub-dates` means that this clock or the hub's is wrong, `tunnel.refused` that the hub will not have us. */
  | { readonly kind: "refused"; readonly fault: Fault }
  /** [TUN-5] */
  | { readonly kind: "kicked"; readonly kicks: number; readonly fault: Fault }
  /** A message from the hub that was not handled. */
  | { readonly kind: "input-refused"; readonly channel: DownChannel | undefined; readonly fault: Fault }
  /** Telemetry that found no room; other classes tell their caller. */
  | { readonly kind: "telemetry-lost"; readonly fault: Fault }
  /** What the tunnel remembers could not be read or written: it goes on without. */
  | { readonly kind: "memory-fault"; readonly fault: Fault };
