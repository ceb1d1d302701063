// The hub's address, and what the hub must prove.

import { type HostAndPort, hostAndPort } from "../../hal/format/host.ts";

export type Endpoint = HostAndPort;

export interface HubServer extends Endpoint {
  /** PEM of the pinned authorities. The system's trust store does not count. [ID-7] [ID-80] */
  readonly authority: string;
  /** The default is TLSv1.3. */
  readonly minTls?: "TLSv1.2" | "TLSv1.3" | undefined;
  /** The address to connect to instead. The certificate must still name `host`. */
  readonly connectTo?: Endpoint | undefined;
  /** HTTP CONNECT proxy. The TLS session is still end to end with the hub. */
  readonly proxy?: Endpoint | undefined;
}

/**
 * What a TLS client shows: PEM of the certificate with its chain, and the key as Node's TLS takes
 * it.
 */
export interface ClientCredential {
  readonly certificate: string;
  readonly key: string;
}

/** Offered in this order: hybrid post-quantum first. [TUN-2] */
export const TLS_GROUPS = "X25519MLKEM768:X25519:P-256:P-384";

export function addressOf(hub: HubServer): string {
  const via = hub.proxy === undefined ? "" : ` through proxy ${hostAndPort(hub.proxy)}`;
  return `${hostAndPort(hub.connectTo ?? hub)}${via}`;
}
