// Fault codes for failed TLS handshakes with the hub, for enrolment and tunnel. When the dates are
// at fault, the agent asks for hub time. [ID-11] [TUN-2]
import { Fault, type FaultCode, wordsOf } from "../../hal/fault.ts";

/**
 * X509_V_ERR_* under Node's names (doc/api/tls.md, "X509 certificate error codes"). What is not
 * about dates is about trust.
 */
const DATES: ReadonlySet<string> = new Set(["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"]);
const NAME = "ERR_TLS_CERT_ALTNAME_INVALID";
/** No chain to the pinned authority, a broken one, or one for another purpose. */
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
/** OpenSSL's text, for errors that Node has no name for. */
const UNTRUSTED_TEXT = /self.signed|unable to (?:get|verify)|certificate verify failed/iu;

export interface CertificateVerdict {
  readonly code: Extract<FaultCode, "tls.hub-dates" | "tls.hub-name" | "tls.hub-untrusted">;
  /** For a person. */
  readonly words: string;
}

/**
 * @returns what TLS objects to in the hub's certificate, or undefined when the failure has another
 *   reason.
 */
export function certificateVerdict(error: unknown): CertificateVerdict | undefined {
  const code = errorCode(error);
  const message = wordsOf(error);
  if (DATES.has(code))
    return { code: "tls.hub-dates", words: `the dates of the hub's certificate do not fit this clock (${message})` };
  if (code === NAME) return { code: "tls.hub-name", words: message };
  // Node's own text advises to trust the system's authorities, which we must never do.
  if (UNTRUSTED.has(code))
    return {
      code: "tls.hub-untrusted",
      words: `the pinned authority has not issued the hub's certificate for servers (${code})`,
    };
  return UNTRUSTED_TEXT.test(message) ? { code: "tls.hub-untrusted", words: message } : undefined;
}

/** What OpenSSL says of an answer that is not TLS. */
const NOT_TLS = /^ERR_SSL_(?:WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|BAD_RECORD_TYPE|UNEXPECTED_MESSAGE)$/u;

/** @returns for a person why TLS failed, and what to do where that is known. */
export function tlsWords(error: unknown): string {
  const words = wordsOf(error);
  if (!NOT_TLS.test(errorCode(error))) return words;
  return `what answers there does not speak TLS (${words}); compare host and port with the hub's, and look for a proxy in between`;
}

/** @returns the code of an error from Node, otherwise an empty text. */
export function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

/** @returns `error` as a Fault: with a code for the hub's certificate, or else `otherwise`. */
export function tlsFault(error: unknown, otherwise: FaultCode, address: string): Fault {
  if (error instanceof Fault) return error;
  const verdict = certificateVerdict(error);
  const words = verdict?.words ?? tlsWords(error);
  return new Fault(verdict?.code ?? otherwise, `open TLS to the hub at ${address}: ${words}`, { cause: error });
}
