// One way to get a certificate. Others stand beside EST behind this interface.

import type { ClientCredential } from "../tls/index.ts";

export type EnrolAnswer =
  /** DER each, in no order, unchecked: what is ours among them is for provisioning/certificate to say. [ID-8] */
  | { readonly kind: "issued"; readonly certificates: readonly Uint8Array[] }
  /** Not now, ask again with the same request: an operator has not approved yet, or the authority is busy. [ID-7] */
  | { readonly kind: "later"; readonly code: "enrol.pending" | "enrol.server-error"; readonly retryAfterMs: number };

/**
 * Each call is one attempt: no retry inside. Each may throw Fault `enrol.unreachable`, `enrol.timeout`, `enrol.too-large`, `enrol.bad-response`,
 * `enrol.unauthorized`, `enrol.denied`, `enrol.refused`, `enrol.server-error`, `tls.hub-untrusted`, `tls.hub-name` or `tls.hub-dates`.
 */
export interface Enroller {
  /** For messages: `est`. */
  readonly name: string;
  /**
   * Asks the authority who it is and what it wants of a request, before the first one is sent.
   * @throws Fault `enrol.mismatch` when it is not the pinned authority, or wants what we do not send.
   */
  prepare(): Promise<void>;
  /** First certificate, or a new one after the old has expired. @param request PKCS#10 DER. */
  enrol(request: Uint8Array): Promise<EnrolAnswer>;
  /** Next certificate, asked for with the current one. [ID-9] */
  renew(request: Uint8Array, current: ClientCredential): Promise<EnrolAnswer>;
}
