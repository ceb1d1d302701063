// Sealing for the owner's key: JWE (RFC 7516) in compact form, with ECDH-ES on P-256 in direct mode
// (RFC 7518 section 4.6) and AES-256-GCM. One recipient, one algorithm: nothing is negotiated. By
// Node's own cryptography, because this is all of JOSE that a device needs.
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from "node:crypto";
import * as v from "valibot";
import { Fault } from "../../../hal/fault.ts";
import { parseJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { type EscrowKey, keyIdOf, publicJwkOf, publicJwkSchema, publicKeyOf } from "./key.ts";
import { SEALED_BYTES_MAX } from "./limits.ts";

const ALGORITHM = "ECDH-ES";
const ENCRYPTION = "A256GCM";
const KEY_BITS = 256;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const HEADER_BYTES_MAX = 1024;

/**
 * Every member that is accepted, so that neither `zip` nor `crit` nor another algorithm ever is.
 */
const headerSchema = v.strictObject({
  alg: v.literal(ALGORITHM),
  enc: v.literal(ENCRYPTION),
  epk: publicJwkSchema,
  kid: v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{43}$/u, "expected a key's thumbprint")),
});

/** Header, no encrypted key, IV, ciphertext, tag. (RFC 7516 section 7.1) */
export const SEALED_PATTERN =
  /^(?<header>[A-Za-z0-9_-]{1,1366})\.\.(?<iv>[A-Za-z0-9_-]{16})\.(?<ciphertext>[A-Za-z0-9_-]{1,3000})\.(?<tag>[A-Za-z0-9_-]{22})$/u;

/** @returns a JWE in compact form that only the holder of the owner's private key opens. */
export function sealFor(owner: EscrowKey, plaintext: Uint8Array): string {
  const ephemeral = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const header = { alg: ALGORITHM, enc: ENCRYPTION, epk: publicJwkOf(ephemeral.publicKey), kid: owner.id };
  const protectedHeader = Buffer.from(JSON.stringify(header)).toString("base64url");
  const key = contentKey(diffieHellman({ privateKey: ephemeral.privateKey, publicKey: owner.publicKey }));
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(Buffer.from(protectedHeader, "ascii")); // RFC 7516 section 5.1, step 14
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return [protectedHeader, "", ...[iv, ciphertext, cipher.getAuthTag()].map((part) => part.toString("base64url"))].join(".");
}

/**
 * @throws Fault `escrow.invalid` for what is not exactly such a JWE; `escrow.not-opened` when it
 *   was sealed for another key, or changed.
 */
export function openSealed(sealed: string, privateKey: KeyObject): Uint8Array {
  const { header, protectedHeader, iv, ciphertext, tag } = parseSealed(sealed);
  const ours = keyIdOf(publicJwkOf(privateKey));
  if (header.kid !== ours)
    throw new Fault("escrow.not-opened", `open the text: it is sealed for the key ${header.kid}, and this key is ${ours}`);
  const publicKey = ephemeralKey(header.epk);
  const key = contentKey(diffieHellman({ privateKey, publicKey }));
  const decipher = createDecipheriv("aes-256-gcm", key, iv, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(protectedHeader, "ascii"));
  decipher.setAuthTag(tag);
  try {
    return Buffer.concat([decipher.update(ciphertext), decipher.final()]);
  } catch (error) {
    throw new Fault("escrow.not-opened", "open the text: it was changed, or cut, since it was sealed", { cause: error });
  }
}

/** @throws Fault `escrow.invalid`. @returns the id of the key that it is sealed for. */
export function sealedKeyId(sealed: string): string {
  return parseSealed(sealed).header.kid;
}

function parseSealed(sealed: string) {
  const what = "the sealed text";
  if (sealed.length > SEALED_BYTES_MAX)
    throw new Fault("escrow.invalid", `${what} has ${sealed.length} characters, and at most ${SEALED_BYTES_MAX} are read`);
  const { header: protectedHeader, iv, ciphertext, tag } = SEALED_PATTERN.exec(sealed)?.groups ?? {};
  if (protectedHeader === undefined || iv === undefined || ciphertext === undefined || tag === undefined)
    throw new Fault(
      "escrow.invalid",
      `${what} is no JWE in compact form with ${ALGORITHM}: expected five parts with dots between`,
    );
  return {
    header: parseHeader(base64url(protectedHeader)),
    protectedHeader,
    iv: base64url(iv),
    ciphertext: base64url(ciphertext),
    tag: base64url(tag),
  };
}

function parseHeader(json: Uint8Array): v.InferOutput<typeof headerSchema> {
  try {
    return check(headerSchema, parseJson(json, HEADER_BYTES_MAX, "its header"), "the header of the sealed text");
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new Fault("escrow.invalid", error.message, { cause: error });
  }
}

function ephemeralKey(epk: v.InferOutput<typeof publicJwkSchema>): KeyObject {
  try {
    return publicKeyOf(epk);
  } catch (error) {
    throw new Fault("escrow.invalid", "the ephemeral key of the sealed text is no point on P-256", { cause: error });
  }
}

/** Strict: one spelling for each value. @throws Fault `escrow.invalid`. */
function base64url(text: string): Buffer {
  const bytes = Buffer.from(text, "base64url");
  if (bytes.toString("base64url") !== text) throw new Fault("escrow.invalid", "the sealed text has a part that is no base64url");
  return bytes;
}

/** RFC 7518 section 4.6.2, in direct mode: the key for the content. No PartyUInfo or PartyVInfo. */
function contentKey(secret: Uint8Array): Uint8Array {
  return concatKdf(secret, ENCRYPTION, new Uint8Array(), new Uint8Array(), KEY_BITS);
}

/**
 * The Concat KDF of NIST SP 800-56A section 5.8.1 with SHA-256, as RFC 7518 section 4.6.2 uses it.
 * @param bits of the key, at most 256: one round.
 */
export function concatKdf(
  secret: Uint8Array,
  algorithm: string,
  partyU: Uint8Array,
  partyV: Uint8Array,
  bits: number,
): Uint8Array {
  const round = uint32(1);
  const fields = [Buffer.from(algorithm, "ascii"), partyU, partyV].flatMap((field) => [uint32(field.byteLength), field]);
  const hash = createHash("sha256").update(round).update(secret);
  for (const field of fields) hash.update(field);
  return hash
    .update(uint32(bits))
    .digest()
    .subarray(0, bits / 8);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
