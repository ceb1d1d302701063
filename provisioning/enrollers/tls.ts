// Strict TLS to the hub: pinned authority, name, dates and purpose all checked by OpenSSL and Node. [ID-7]
import { once } from "node:events";
import { isIP } from "node:net";
import { connect, createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import { dial } from "./dial.ts";
import type { ClientCredential } from "./enroller.ts";
import { addressOf, type HubServer, TLS_GROUPS } from "./hub.ts";
import { tlsFault } from "./tls-faults.ts";

/**
 * What may be kept for many connections. With the key in a TPM it must be: each context holds the key in one of the TPM's three slots until it is
 * collected, so the third fails (0x902).
 */
export function secureContextFor(hub: HubServer, client: ClientCredential | undefined): SecureContext {
  return createSecureContext({
    ca: hub.authority,
    minVersion: hub.minTls ?? "TLSv1.3",
    ecdhCurve: TLS_GROUPS,
    ...(client === undefined ? {} : { cert: client.certificate, key: client.key }),
  });
}

/** @throws Fault `tls.hub-untrusted`, `tls.hub-name`, `tls.hub-dates` for what is wrong with the hub's certificate, `enrol.unreachable` else. */
export async function openStrict(hub: HubServer, secureContext: SecureContext, signal: AbortSignal): Promise<TLSSocket> {
  return open(hub, { secureContext, rejectUnauthorized: true }, signal);
}

/** The handshake alone; what the options leave unchecked is the caller's to check before it writes a byte. */
export async function open(
  hub: HubServer,
  options: { readonly secureContext: SecureContext; readonly rejectUnauthorized: boolean },
  signal: AbortSignal,
): Promise<TLSSocket> {
  const socket = connect({
    socket: await dial(hub, signal),
    host: hub.host, // what checkServerIdentity compares with
    servername: isIP(hub.host) === 0 ? hub.host : "", // RFC 6066 section 3: no addresses in SNI
    ALPNProtocols: ["http/1.1"],
    ...options,
  });
  socket.on("error", () => undefined); // whoever waits on the socket gets it; a late one, with nobody waiting, must not end the process
  const end = (): void => void socket.destroy();
  signal.addEventListener("abort", end, { once: true });
  socket.once("close", () => signal.removeEventListener("abort", end));
  try {
    await once(socket, "secureConnect", { signal });
    return socket;
  } catch (error) {
    socket.destroy();
    throw tlsFault(error, "enrol.unreachable", addressOf(hub));
  }
}
