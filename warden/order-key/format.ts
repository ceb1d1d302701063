// Order keys: the public keys that operators sign orders with. The roster names them, and a
// lockdown policy names those that may confirm it. [OPS-7]
import * as v from "valibot";
import { createHash, createPublicKey, type KeyObject } from "node:crypto";

export const keyIdSchema = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "expected a key id of 64 hex digits"));

/** DER SubjectPublicKeyInfo in base64, Ed25519 or ECDSA P-256. */
export const orderKeySchema = v.pipe(
  v.string(),
  v.maxLength(256),
  v.check((text) => orderKey(text) !== undefined, "expected a SubjectPublicKeyInfo in base64 of an Ed25519 or ECDSA P-256 key"),
);

/** @returns undefined when `text` is not the base64 of such a key. */
export function orderKey(text: string): KeyObject | undefined {
  const der = Buffer.from(text, "base64");
  if (der.toString("base64") !== text) return undefined;
  try {
    const key = createPublicKey({ key: der, format: "der", type: "spki" });
    const kind = key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType;
    return kind === "ed25519" || kind === "prime256v1" ? key : undefined;
  } catch {
    return undefined; // OpenSSL reports "this is no key" in many ways
  }
}

/** The id of an order key: SHA-256 of its DER SubjectPublicKeyInfo, in hex. */
export function orderKeyId(publicKey: KeyObject): string {
  return createHash("sha256")
    .update(publicKey.export({ format: "der", type: "spki" }))
    .digest("hex");
}
