// TLS settings of the hub's two servers, broker and EST.
import type { Server, TlsOptions } from "node:tls";
import { Fault } from "../hal/fault.ts";
import type { KeyAndCertificate } from "./authority/index.ts";
import { TLS_HANDSHAKE_MS_MAX } from "./limits.ts";

export const TLS_VERSIONS = ["TLSv1.2", "TLSv1.3"] as const;
export type ServerTlsVersion = (typeof TLS_VERSIONS)[number];
/** Devices demand it too, unless they are configured otherwise. [TUN-2] */
export const MIN_TLS_DEFAULT: ServerTlsVersion = "TLSv1.3";

/**
 * Offers hybrid post-quantum key exchange first [TUN-2]. Asks for a client certificate but leaves
 * its judgement to our own code, so that a refusal can give its reason [TUN-3].
 */
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

/** The port that a server really listens on: not the requested one when that was 0. */
export function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Fault("assert.broken", "a TLS server without a TCP port");
  return address.port;
}
