// What the hub's TLS offers, to the broker's clients and to those of EST.
import type { Server, TlsOptions } from "node:tls";
import { Fault } from "../hal/fault.ts";
import type { KeyAndCertificate } from "./authority/index.ts";
import { TLS_HANDSHAKE_MS_MAX } from "./limits.ts";

export const TLS_VERSIONS = ["TLSv1.2", "TLSv1.3"] as const;
export type ServerTlsVersion = (typeof TLS_VERSIONS)[number];
/** What devices demand too, unless they are told otherwise. [TUN-2] */
export const MIN_TLS_DEFAULT: ServerTlsVersion = "TLSv1.3";

/** Hybrid post-quantum key exchange first [TUN-2]; certificates asked for and judged by our own code, so that a refusal can be said in words [TUN-3]. */
export function tlsOptions(
  { keyPem, certificatePem }: KeyAndCertificate,
  authorityPem: string,
  minVersion: ServerTlsVersion,
): TlsOptions {
  return {
    key: keyPem,
    cert: certificatePem,
    ca: authorityPem,
    minVersion,
    ecdhCurve: "X25519MLKEM768:X25519:prime256v1",
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: TLS_HANDSHAKE_MS_MAX,
  };
}

/** The port a server listens on, which is another than asked for when 0 was. */
export function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Fault("assert.broken", "a TLS server without a TCP port");
  return address.port;
}
