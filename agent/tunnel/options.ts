// The options and the events of the tunnel.
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
  /**
   * Where to connect instead of the hub's own host and port. The certificate must still have the
   * hub's name.
   */
  readonly connectTo: Endpoint | undefined;
  readonly alpn: string | undefined;
  readonly proxy: Endpoint | undefined;
  readonly minTls: TlsVersion;
  readonly keepaliveS: number;
  /** How long the broker keeps the session of a device that is away; 0: not at all. [TUN-64] */
  readonly sessionExpiryS?: number;
  /** Called before every connection. Unchanged texts keep the TLS context. */
  readonly credentials: () => Promise<{ readonly cert: string; readonly key: string }>;
  /** Its owner closes it, after {@link Tunnel.stop}. */
  readonly spool: Spool;
  /** Holds the record that the broker refused MQTT 5. */
  readonly files: DurableFiles;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly timeouts: Timeouts;
  /** The body of the birth message for a new connection. [TUN-9] */
  readonly birth: (facts: ConnectedFacts) => StatusMessage["body"];
  readonly onEvent: (event: TunnelEvent) => void;
}

export type TunnelEvent =
  | { readonly kind: "connected"; readonly facts: ConnectedFacts }
  /** A connection has ended after its CONNACK. */
  | { readonly kind: "disconnected"; readonly by: "peer" | "fault" | "us"; readonly fault: Fault }
  /**
   * There was no CONNACK. `tls.hub-dates`: the clock of this device or of the hub is wrong.
   * `tunnel.refused`: the hub refuses this device.
   */
  | { readonly kind: "refused"; readonly fault: Fault }
  /** The peer ended several connections in a row at once. [TUN-5] */
  | { readonly kind: "kicked"; readonly kicks: number; readonly fault: Fault }
  /** A message from the hub that was not handled. */
  | { readonly kind: "input-refused"; readonly channel: DownChannel | undefined; readonly fault: Fault }
  /** Telemetry that the spool did not take. For other classes `publish` rejects. */
  | { readonly kind: "telemetry-lost"; readonly fault: Fault }
  /** The tunnel's record could not be read or written. The tunnel works without it. */
  | { readonly kind: "memory-fault"; readonly fault: Fault };
