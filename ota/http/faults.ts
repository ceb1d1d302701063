// Fault codes for failed requests.
import { Fault, type FaultCode } from "../../hal/fault.ts";

const CODES: Readonly<Record<string, FaultCode>> = {
  ERR_TLS_CERT_ALTNAME_INVALID: "tls.hub-name",
  CERT_HAS_EXPIRED: "tls.hub-dates",
  CERT_NOT_YET_VALID: "tls.hub-dates",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "tls.hub-untrusted",
  UNABLE_TO_GET_ISSUER_CERT: "tls.hub-untrusted",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "tls.hub-untrusted",
  SELF_SIGNED_CERT_IN_CHAIN: "tls.hub-untrusted",
  DEPTH_ZERO_SELF_SIGNED_CERT: "tls.hub-untrusted",
  CERT_SIGNATURE_FAILURE: "tls.hub-untrusted",
  INVALID_PURPOSE: "tls.hub-untrusted",
};

/**
 * @returns a Fault: `tls.*` for the server's certificate, `fetch.bad-response` for an answer that
 *   is not HTTP, `fetch.unreachable` otherwise.
 */
export function httpFault(error: unknown, action: string): Fault {
  if (error instanceof Fault) return error;
  const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
  const known = CODES[code] ?? (code.startsWith("HPE_") ? "fetch.bad-response" : "fetch.unreachable");
  return new Fault(known, `${action}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}
