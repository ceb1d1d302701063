// What went wrong on the way to CONNACK, by code: OpenSSL's and the kernel's words come in, our faults leave.
import { Fault } from "../../hal/fault.ts";
import { certificateVerdict, errorCode } from "../../provisioning/tls/index.ts";

/** RFC 8446 section 6.2: alerts by which a server says that it will not have our certificate. */
const REFUSED = /ALERT_(?:BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_\w+|UNKNOWN_CA|ACCESS_DENIED)/u;
/** The hub was not reached, or the way to it broke. */
const UNREACHABLE =
  /^(?:ECONNREFUSED|ECONNRESET|ECONNABORTED|EHOSTUNREACH|EHOSTDOWN|ENETUNREACH|ENETDOWN|ENOTFOUND|EAI_\w+|ETIMEDOUT|EPIPE|EADDRNOTAVAIL)$/u;

/** @param action what was being done, with the address: "connect to \"hub.example:8883\"". */
export function connectFault(error: unknown, action: string): Fault {
  if (error instanceof Fault) return error;
  const verdict = certificateVerdict(error);
  if (verdict !== undefined) return new Fault(verdict.code, `${action}: ${verdict.words}`, { cause: error });
  const message = error instanceof Error ? error.message : String(error);
  const code = errorCode(error);
  if (REFUSED.test(code))
    return new Fault("tunnel.refused", `${action}: the hub refuses this device's certificate (${message})`, { cause: error });
  return new Fault(UNREACHABLE.test(code) ? "tunnel.unreachable" : "tunnel.protocol", `${action}: ${message}`, { cause: error });
}
