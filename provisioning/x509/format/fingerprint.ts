import { createHash } from "node:crypto";
import type { Fingerprint } from "../../../hal/format/identity.ts";

/**
 * [ID-21] SHA-256 over the DER SubjectPublicKeyInfo: `sha256:` and 64 hex digits. An operator
 * compares it at approval.
 */
export function keyFingerprint(spkiDer: Uint8Array): Fingerprint {
  return `sha256:${createHash("sha256").update(spkiDer).digest("hex")}`;
}
