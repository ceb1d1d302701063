// Why a TLS handshake with the hub failed, as codes of ours: the life cycle asks for hub time when it was the dates. [ID-11]
import { Fault, type FaultCode } from "../../hal/fault.ts";

const DATES = new Set(["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"]);
/** X509_verify_cert_error codes as Node names them: no chain to the pin, a broken one, or one for another purpose. */
const UNTRUSTED = new Set([
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_DECRYPT_CERT_SIGNATURE",
  "UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "CERT_SIGNATURE_FAILURE",
  "CERT_CHAIN_TOO_LONG",
  "CERT_REVOKED",
  "CERT_UNTRUSTED",
  "CERT_REJECTED",
  "INVALID_CA",
  "INVALID_PURPOSE",
  "PATH_LENGTH_EXCEEDED",
  "ERROR_IN_CERT_NOT_BEFORE_FIELD",
  "ERROR_IN_CERT_NOT_AFTER_FIELD",
]);

/** @returns the code for what TLS said against the hub's certificate, or undefined when the failure was of another kind. */
export function certificateFaultCode(error: unknown): FaultCode | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (typeof code !== "string") return undefined;
  if (DATES.has(code)) return "tls.hub-dates";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return "tls.hub-name";
  return UNTRUSTED.has(code) ? "tls.hub-untrusted" : undefined;
}

/** @returns `error` as Fault: about the hub's certificate, or else `otherwise`. */
export function tlsFault(error: unknown, otherwise: FaultCode, address: string): Fault {
  if (error instanceof Fault) return error;
  const code = certificateFaultCode(error) ?? otherwise;
  return new Fault(code, `open TLS to the hub at ${address}: ${error instanceof Error ? error.message : String(error)}`, {
    cause: error,
  });
}
