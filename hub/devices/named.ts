// What an operator names of a request besides id and key, so that no later one is approved instead.
// [ID-26] [ID-31]
import { createHash } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import type { Fingerprint } from "../../hal/format/identity.ts";
import { decodeVerifier, verifierFingerprint } from "../../warden/audit/format/index.ts";
import type { Device } from "../store/index.ts";

export interface NamedRequest {
  /** {@link requestDigest} of the request that was shown. */
  readonly request?: string | undefined;
  /** The fingerprint of the audit key, as the device's console shows it. */
  readonly auditKey?: Fingerprint | undefined;
}

/**
 * 128 bits: who makes both requests must not find two with one digest, which costs 2^64 signatures.
 */
const DIGEST_HEX = 32;

/** The digest that `devices list` shows and a decision takes. */
export function requestDigest(csr: Uint8Array): string {
  return createHash("sha256").update(csr).digest("hex").slice(0, DIGEST_HEX);
}

/** @throws Fault `hub.device-conflict` for another request or audit key than the operator named. */
export function expectNamed({ csr, auditKey }: Pick<Device, "csr" | "auditKey">, named: NamedRequest, action: string): void {
  if (named.request !== undefined && named.request !== requestDigest(csr))
    throw new Fault(
      "hub.device-conflict",
      `${action}: its request is ${requestDigest(csr)}, not ${named.request}; it has sent another one since, and nothing was decided; run sallyport-hub devices list and compare again`,
    );
  if (named.auditKey !== undefined && named.auditKey !== auditKeyFingerprint(auditKey))
    throw new Fault(
      "hub.device-conflict",
      `${action}: its audit key is ${auditKeyFingerprint(auditKey) ?? "missing"}, not ${named.auditKey}`,
    );
}

/** [ID-26] @returns undefined without a key. */
export function auditKeyFingerprint(auditKey: string | undefined): Fingerprint | undefined {
  return auditKey === undefined ? undefined : verifierFingerprint(decodeVerifier(auditKey));
}
