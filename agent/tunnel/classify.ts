// What went wrong on the way to CONNACK, by code: OpenSSL's and the kernel's words come in, our faults leave.
import { Fault, type FaultCode } from "../../hal/fault.ts";

/** X509_V_ERR_* by Node's names (doc/api/tls.md, "X509 certificate error codes"): what is not a matter of dates is a matter of trust. */
const DATES: ReadonlySet<string> = new Set(["CERT_NOT_YET_VALID", "CERT_HAS_EXPIRED"]);
const UNTRUSTED: ReadonlySet<string> = new Set([
  "CERT_CHAIN_TOO_LONG",
  "CERT_REJECTED",
  "CERT_REVOKED",
  "CERT_SIGNATURE_FAILURE",
  "CERT_UNTRUSTED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "ERROR_IN_CERT_NOT_AFTER_FIELD",
  "ERROR_IN_CERT_NOT_BEFORE_FIELD",
  "INVALID_CA",
  "INVALID_PURPOSE",
  "PATH_LENGTH_EXCEEDED",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY",
  "UNABLE_TO_DECRYPT_CERT_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);
/** RFC 8446 section 6.2: alerts by which a server says that it will not have our certificate. */
const REFUSED = /ALERT_(?:BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_\w+|UNKNOWN_CA|ACCESS_DENIED)/u;
/** The hub was not reached, or the way to it broke. */
const UNREACHABLE =
  /^(?:ECONNREFUSED|ECONNRESET|ECONNABORTED|EHOSTUNREACH|EHOSTDOWN|ENETUNREACH|ENETDOWN|ENOTFOUND|EAI_\w+|ETIMEDOUT|EPIPE|EADDRNOTAVAIL)$/u;

/** @param action what was being done, with the address: "connect to \"hub.example:8883\"". */
export function connectFault(error: unknown, action: string): Fault {
  if (error instanceof Fault) return error;
  const message = error instanceof Error ? error.message : String(error);
  const code = codeOf(error);
  return new Fault(faultCodeFor(code, message), `${action}: ${explain(code, message)}`, { cause: error });
}

function faultCodeFor(code: string, message: string): FaultCode {
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return "tls.hub-name";
  if (DATES.has(code)) return "tls.hub-dates";
  if (UNTRUSTED.has(code)) return "tls.hub-untrusted";
  if (REFUSED.test(code)) return "tunnel.refused";
  if (/self.signed|unable to (?:get|verify)|certificate verify failed/iu.test(message)) return "tls.hub-untrusted";
  if (UNREACHABLE.test(code)) return "tunnel.unreachable";
  return "tunnel.protocol";
}

function explain(code: string, message: string): string {
  if (REFUSED.test(code)) return `the hub refuses this device's certificate (${message})`;
  if (DATES.has(code)) return `the dates of the hub's certificate do not fit this clock (${message})`;
  // Node's own words advise to trust the system's authorities, which is what we must never do.
  if (UNTRUSTED.has(code)) return `the hub's certificate is not by the pinned authority for servers (${code})`;
  return message;
}

export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}
