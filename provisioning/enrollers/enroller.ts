// A way to get a certificate. EST is one; others can be added behind this interface.

import type { ClientCredential } from "../tls/index.ts";

export type EnrolAnswer =
  /**
   * Each DER, in any order, unchecked. provisioning/certificate decides which of them is ours.
   * [ID-8]
   */
  | { readonly kind: "issued"; readonly certificates: readonly Uint8Array[] }
  /**
   * Ask again later with the same request: an operator has not approved it yet, or the authority is
   * busy. [ID-7]
   */
  | {
      readonly kind: "later";
      readonly code: "enrol.id-taken" | "enrol.pending" | "enrol.server-error";
      readonly retryAfterMs: number;
    };

/**
 * Each call is one attempt, without a retry. Each may throw Fault `enrol.unreachable`,
 * `enrol.timeout`, `enrol.too-large`, `enrol.bad-response`, `enrol.unauthorized`, `enrol.denied`,
 * `enrol.refused`, `enrol.server-error`, `tls.hub-untrusted`, `tls.hub-name` or `tls.hub-dates`.
 */
export interface Enroller {
  /** For messages: `est`. */
  readonly name: string;
  /**
   * Asks the authority for its certificates and for what it demands of a request, before the first
   * request is sent.
   * @throws Fault `enrol.mismatch` when it is not the pinned authority, or demands what we do not
   *   send.
   */
  prepare(): Promise<void>;
  /**
   * Requests the first certificate, or a new one after the old has expired.
   * @param request PKCS#10 DER.
   */
  enrol(request: Uint8Array): Promise<EnrolAnswer>;
  /** Requests the next certificate, with the current one as credential. [ID-9] */
  renew(request: Uint8Array, current: ClientCredential): Promise<EnrolAnswer>;
}
