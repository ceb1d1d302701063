// Opening TLS to the hub. Strict means that OpenSSL and Node check everything: the pinned
// authority, name, dates and purpose. [ID-7]
import { once } from "node:events";
import { isIP } from "node:net";
import { connect, createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import { Fault } from "../../hal/fault.ts";
import { defined } from "../../hal/format/defined.ts";
import { tlsTrust } from "../../hal/format/pins.ts";
import { keyFault } from "../../hal/key-fault.ts";
import { dial } from "./dial.ts";
import { addressOf, type ClientCredential, type HubServer, TLS_GROUPS } from "./endpoint.ts";
import { tlsFault } from "./faults.ts";
import { checkByPinItself, isOfAnotherPin } from "./own-check.ts";

/**
 * A context that can be kept for many connections. With the key in a TPM it must be kept: each
 * context holds the key in one of the TPM's three slots until it is collected, so the third context
 * fails (0x902).
 * @param first as {@link tlsTrust}.
 * @throws Fault `key.tpm-unavailable`, `key.mismatch` as {@link keyFault}; `x509.invalid` as
 *   {@link tlsTrust}.
 */
export function secureContextFor(hub: HubServer, client: ClientCredential | undefined, first = 0): SecureContext {
  const trust = tlsTrust(hub.authority, first);
  try {
    return createSecureContext({
      ...trust,
      minVersion: hub.minTls ?? "TLSv1.3",
      ecdhCurve: TLS_GROUPS,
      ...defined({ cert: client?.certificate, key: client?.key }),
    });
  } catch (error) {
    throw keyFault("load certificate and key for the authority", error);
  }
}

/**
 * @throws Fault `tls.hub-untrusted`, `tls.hub-name` or `tls.hub-dates` for the hub's certificate;
 *   `enrol.unreachable` otherwise.
 */
export async function openStrictTls(hub: HubServer, secureContext: SecureContext, signal: AbortSignal): Promise<TLSSocket> {
  try {
    return await openTls(hub, { secureContext, rejectUnauthorized: true }, signal);
  } catch (error) {
    if (!(error instanceof Fault) || !isOfAnotherPin(error.cause, hub.authority)) throw error;
  }
  // [ID-87] The same context again: another one would hold the key of a TPM once more.
  const socket = await openTls(hub, { secureContext, rejectUnauthorized: false }, signal);
  try {
    if (!socket.authorized) checkByPinItself(socket.getPeerX509Certificate(), hub);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/**
 * Makes the handshake only. The caller must check what the options leave unchecked before it writes
 * a byte.
 */
export async function openTls(
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
  // A pending read or write reports the error too. Without this listener, an error that comes when
  // nothing is pending would end the process.
  socket.on("error", () => undefined);
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
