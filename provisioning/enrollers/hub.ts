// Where the hub is and what it must prove.

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface HubServer extends Endpoint {
  /** PEM of the pinned authority. Nothing in the system's trust store counts. [ID-7] */
  readonly authority: string;
  /** TLSv1.3 unless told otherwise. */
  readonly minTls?: "TLSv1.2" | "TLSv1.3" | undefined;
  /** Where to connect instead; the certificate must still carry `host`. */
  readonly connectTo?: Endpoint | undefined;
  /** HTTP CONNECT proxy; the TLS session is still end to end with the hub. */
  readonly proxy?: Endpoint | undefined;
}

/** Offered in this order: hybrid post-quantum first. [TUN-2] */
export const TLS_GROUPS = "X25519MLKEM768:X25519:P-256:P-384";

export function addressOf(hub: HubServer): string {
  const { host, port } = hub.connectTo ?? hub;
  const via = hub.proxy === undefined ? "" : ` through proxy ${hub.proxy.host}:${hub.proxy.port}`;
  return `${host}:${port}${via}`;
}
