// The public half of a device key, which is all that is known of it outside its store.
import { createHash, createPublicKey } from "node:crypto";
import type { Fingerprint } from "../../format/identity.ts";
import { Fault } from "../../fault.ts";

export interface PublicHalf {
  /** DER SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  readonly fingerprint: Fingerprint;
}

/**
 * The beginning of the SubjectPublicKeyInfo of every P-256 key and of no other: id-ecPublicKey with
 * namedCurve secp256r1 (RFC 5480 section 2.1.1), then a BIT STRING of 65 bytes whose first byte,
 * 04, means an uncompressed point (section 2.2).
 */
const P256_PREFIX = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d03010703420004", "hex");
const P256_BYTES = P256_PREFIX.byteLength + 64;

/**
 * Reads the public half from a PUBLIC KEY PEM. The curve is judged by the encoding, because reading
 * the details of a KeyObject would abort the process when the key lies in a TPM.
 * @param what names the key in the message.
 * @throws Fault `key.mismatch` when it is not a public key or not P-256.
 */
export function publicHalf(pem: string, what: string): PublicHalf {
  const der = decode(pem, what);
  if (der.byteLength !== P256_BYTES || !der.subarray(0, P256_PREFIX.byteLength).equals(P256_PREFIX))
    throw new Fault("key.mismatch", `load ${what}: it is not a P-256 key, as device keys must be [ID-4]`);
  return { publicKey: new Uint8Array(der), fingerprint: fingerprintOf(der) };
}

/** [ID-21] SHA-256 over the DER SubjectPublicKeyInfo. */
function fingerprintOf(der: Uint8Array): Fingerprint {
  return `sha256:${createHash("sha256").update(der).digest("hex")}`;
}

function decode(pem: string, what: string): Buffer {
  try {
    return createPublicKey({ key: pem, format: "pem" }).export({ type: "spki", format: "der" });
  } catch (cause) {
    throw new Fault("key.mismatch", `load ${what}: it is not a public key`, { cause });
  }
}
