// The classification of connection errors: from error codes of OpenSSL and the kernel to Faults.
import { Fault } from "../../hal/fault.ts";
import { certificateVerdict, errorCode, tlsWords } from "../../provisioning/tls/index.ts";

/** RFC 8446 section 6.2: the alerts with which a server refuses the client's certificate. */
const REFUSED = /ALERT_(?:BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_\w+|UNKNOWN_CA|ACCESS_DENIED)/u;
/** [TUN-74] A server that was verified says that it has revoked the certificate. */
const REVOKED = /ALERT_CERTIFICATE_REVOKED/u;
/** The hub could not be reached, or the connection broke. */
const UNREACHABLE =
  /^(?:ECONNREFUSED|ECONNRESET|ECONNABORTED|EHOSTUNREACH|EHOSTDOWN|ENETUNREACH|ENETDOWN|ENOTFOUND|EAI_\w+|ETIMEDOUT|EPIPE|EADDRNOTAVAIL)$/u;

/**
 * @param action what was being done, with the address: `connect to "hub.example:8883"`.
 * @returns `error` itself if it is a Fault; otherwise Fault `tls.*` for a certificate of the hub
 *   that was refused here, `tunnel.revoked`, `tunnel.refused`, `tunnel.unreachable` or
 *   `tunnel.protocol`.
 */
export function connectFault(error: unknown, action: string): Fault {
  if (error instanceof Fault) return error;
  const verdict = certificateVerdict(error);
  if (verdict !== undefined) return new Fault(verdict.code, `${action}: ${verdict.words}`, { cause: error });
  const message = tlsWords(error);
  const code = errorCode(error);
  if (REVOKED.test(code))
    return new Fault("tunnel.revoked", `${action}: the hub has revoked this device's certificate`, { cause: error });
  if (REFUSED.test(code))
    return new Fault("tunnel.refused", `${action}: the hub refuses this device's certificate (${message})`, { cause: error });
  return new Fault(UNREACHABLE.test(code) ? "tunnel.unreachable" : "tunnel.protocol", `${action}: ${message}`, { cause: error });
}
