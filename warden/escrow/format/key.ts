// The owner's key for escrow: P-256, its public half a JWK (RFC 7517) in the image. [ID-54]
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import * as v from "valibot";
import { Fault } from "../../../hal/fault.ts";
import { parseJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { ESCROW_KEY_BYTES_MAX } from "./limits.ts";

/** 32 bytes in base64url without padding (RFC 7518 section 6.2.1.2). */
const coordinateSchema = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/u, "expected 32 bytes in base64url"));

/** A public key on P-256. Other curves and private members are refused. */
export const publicJwkSchema = v.strictObject({
  kty: v.literal("EC"),
  crv: v.literal("P-256"),
  x: coordinateSchema,
  y: coordinateSchema,
});
export type PublicJwk = v.InferOutput<typeof publicJwkSchema>;

const keyFileSchema = v.strictObject({
  ...publicJwkSchema.entries,
  use: v.optional(v.literal("enc")),
  kid: v.optional(v.pipe(v.string(), v.maxLength(64))),
});

export interface EscrowKey {
  readonly publicKey: KeyObject;
  /** RFC 7638: the SHA-256 thumbprint of the JWK, in base64url. */
  readonly id: string;
}

/**
 * @param file named in messages.
 * @throws Fault `escrow.key-unusable` for anything but one public P-256 key.
 */
export function parseEscrowKey(bytes: Uint8Array, file: string): EscrowKey {
  try {
    const what = `the owner's escrow key "${file}"`;
    const {
      kid,
      use: _use,
      ...jwk
    } = check(keyFileSchema, parseJson(bytes, ESCROW_KEY_BYTES_MAX, what, { duplicates: "refused" }), what);
    const id = keyIdOf(jwk);
    if (kid !== undefined && kid !== id)
      throw new Fault("escrow.key-unusable", `${what} says that its id is "${kid}", but its thumbprint is "${id}"`);
    return { publicKey: publicKeyOf(jwk), id };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new Fault(
      "escrow.key-unusable",
      `${error.message}; put there the public key that "sallyport-release escrow-key" printed`,
      { cause: error },
    );
  }
}

/** RFC 7638 section 3: the required members in lexicographic order, without white space. */
export function keyIdOf({ crv, kty, x, y }: PublicJwk): string {
  return createHash("sha256").update(JSON.stringify({ crv, kty, x, y })).digest("base64url");
}

/** @throws Fault `escrow.key-unusable` for a point that is not on the curve. */
export function publicKeyOf({ crv, kty, x, y }: PublicJwk): KeyObject {
  try {
    return createPublicKey({ key: { crv, kty, x, y }, format: "jwk" });
  } catch (error) {
    throw new Fault("escrow.key-unusable", "the key is no point on P-256", { cause: error });
  }
}

/** @throws Fault `escrow.key-unusable` for a key that is not on P-256. */
export function publicJwkOf(key: KeyObject): PublicJwk {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  if (publicKey.asymmetricKeyType !== "ec" || publicKey.asymmetricKeyDetails?.namedCurve !== "prime256v1")
    throw new Fault(
      "escrow.key-unusable",
      `expected a P-256 key, got one of type ${publicKey.asymmetricKeyType ?? publicKey.type}`,
    );
  return check(publicJwkSchema, publicKey.export({ format: "jwk" }), "the key", "escrow.key-unusable");
}

/**
 * The owner's private key, PKCS#8 in PEM without a passphrase.
 * @throws Fault `escrow.key-unusable`. The content of the file is not quoted.
 */
export function parseEscrowPrivateKey(pem: Uint8Array, file: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(Buffer.from(pem));
  } catch (error) {
    throw new Fault("escrow.key-unusable", `read "${file}": expected the owner's private key in PEM without a passphrase`, {
      cause: error,
    });
  }
  publicJwkOf(key);
  return key;
}
