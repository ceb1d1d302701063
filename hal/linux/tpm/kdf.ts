// The key derivations of sessions and the first-parameter cipher, with SHA-256 and AES-128; a salt
// has the hash of the key that it is for.
import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";
import { ALG } from "./constants.ts";
import { digestBytes, digestOf } from "./structures.ts";
import { join, u32 } from "./wire.ts";

/** TPM_ALG_ID of the one hash that sessions here use. */
export const SESSION_HASH = ALG.sha256;

/** Bytes of a SHA-256, of a session's nonces and of its salt. */
export const SESSION_HASH_BYTES = 32;

const AES_KEY_BYTES = 16;
const AES_BLOCK_BYTES = 16;

/** The label ends with a zero, in both derivations. (Part 1, KDFa and KDFe) */
const label = (text: string): Uint8Array => Buffer.from(`${text}\0`, "ascii");

/** KDFa, NIST SP 800-108 in counter mode with HMAC-SHA-256. (Part 1) */
export function kdfA(key: Uint8Array, use: string, contextU: Uint8Array, contextV: Uint8Array, bytes: number): Uint8Array {
  return stretched(bytes, SESSION_HASH_BYTES, (counter) => {
    const hmac = createHmac("sha256", key).update(counter).update(label(use));
    return hmac
      .update(contextU)
      .update(contextV)
      .update(u32(bytes * 8))
      .digest();
  });
}

/** KDFe, NIST SP 800-56A with the hash of the key that receives. (Part 1) */
export function kdfE(
  hash: number,
  z: Uint8Array,
  use: string,
  partyU: Uint8Array,
  partyV: Uint8Array,
  bytes: number,
): Uint8Array {
  return stretched(bytes, digestBytes(hash), (counter) => digestOf(hash, counter, z, label(use), partyU, partyV));
}

function stretched(bytes: number, blockBytes: number, block: (counter: Uint8Array) => Uint8Array): Uint8Array {
  const rounds = Math.ceil(bytes / blockBytes);
  const blocks = Array.from({ length: rounds }, (_, index) => block(u32(index + 1)));
  return join(...blocks).subarray(0, bytes);
}

/** AES-128-CFB over the content of a first parameter. (Part 1, CFB mode parameter encryption) */
export function cipherParameter(
  direction: "encrypt" | "decrypt",
  sessionValue: Uint8Array,
  nonceNewer: Uint8Array,
  nonceOlder: Uint8Array,
  content: Uint8Array,
): Uint8Array {
  const material = kdfA(sessionValue, "CFB", nonceNewer, nonceOlder, AES_KEY_BYTES + AES_BLOCK_BYTES);
  const [key, iv] = [material.subarray(0, AES_KEY_BYTES), material.subarray(AES_KEY_BYTES)];
  const cipher = direction === "encrypt" ? createCipheriv("aes-128-cfb", key, iv) : createDecipheriv("aes-128-cfb", key, iv);
  return join(cipher.update(content), cipher.final());
}
