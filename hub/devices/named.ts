// What an operator names of a request besides id and key, so that no later one is approved instead.
// [ID-26] [ID-31]
import { createHash } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import { canonicalJson } from "../../hal/format/json.ts";
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

/** What a decision binds. A device may sign it anew, and it is the same request. */
export type RequestContent = Pick<Device, "id" | "fingerprint" | "serialNumber" | "uris" | "auditKey" | "protection">;

/**
 * The digest that `devices list` shows and a decision takes.
 * @param inForce the key that is in force beside it, which a replacement would end.
 */
export function requestDigest(content: RequestContent, inForce: Fingerprint | undefined): string {
  const { id, fingerprint, serialNumber, uris, auditKey, protection } = content;
  const value = canonicalJson({ id, fingerprint, serialNumber, uris: uris.toSorted(), auditKey, protection, inForce });
  return createHash("sha256").update(value).digest("hex").slice(0, DIGEST_HEX);
}

/**
 * @param inForce another key of the id, which is in force.
 * @throws Fault `hub.device-conflict` for another request, key in force or audit key than the
 *   operator named.
 */
export function expectNamed(
  content: RequestContent,
  inForce: Fingerprint | undefined,
  named: NamedRequest,
  action: string,
): void {
  const digest = requestDigest(content, inForce);
  const { auditKey } = content;
  if (named.request !== undefined && named.request !== digest)
    throw new Fault(
      "hub.device-conflict",
      `${action}: its request is ${digest}, not ${named.request}; since the list it has asked for something else, or another key was put in force, and nothing was decided; run sallyport-hub devices list and compare again`,
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
