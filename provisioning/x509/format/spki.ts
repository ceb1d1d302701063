// The only kind of device key: ECDSA on P-256. [ID-4]
import { createPublicKey, type KeyObject } from "node:crypto";
import { Fault } from "../../../hal/fault.ts";
import type { Reading } from "./der.ts";

/**
 * RFC 5480: SEQUENCE { { id-ecPublicKey, prime256v1 }, BIT STRING of 65 octets }, up to the octet
 * that marks an uncompressed point.
 */
const P256_PREFIX = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d03010703420004", "hex");
const P256_SPKI_BYTES = 91;

/**
 * Makes a verification key from a DER SubjectPublicKeyInfo.
 * @throws Fault with the reading's code for another algorithm or curve, a compressed point, or a
 *   point that is not on the curve.
 */
export function p256PublicKey(spki: Uint8Array, reading: Reading): KeyObject {
  if (spki.byteLength !== P256_SPKI_BYTES || !Buffer.from(spki).subarray(0, P256_PREFIX.byteLength).equals(P256_PREFIX))
    throw new Fault(reading.code, `read ${reading.what}: its key is not an uncompressed P-256 public key`);
  try {
    return createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  } catch (error) {
    throw new Fault(reading.code, `read ${reading.what}: its key is not a point on P-256`, { cause: error });
  }
}
