// Keys of TUF metadata, TUF section 4.2 and TAP 21. A key type that is not in the table never
// counts and never breaks parsing. [OTA-2]
import * as v from "valibot";
import { constants, createHash, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { Fault } from "../../../hal/fault.ts";
import { canonicalBytes } from "./canonical.ts";
import { tryCheck } from "../../../hal/format/schema.ts";

const PUBLIC_CHARACTERS_MAX = 16_384;
const RSA_BITS_MIN = 2048; // TUF section 4.2: "All RSA keys MUST be at least 2048 bits"
const RSA_BITS_MAX = 8192; // the cost of a verification grows with its square

/**
 * Unknown members stay: they are under the signature, and the key id is computed from all members.
 */
export const tufKeySchema = v.looseObject({
  keytype: v.pipe(v.string(), v.maxLength(64)),
  scheme: v.pipe(v.string(), v.maxLength(64)),
  keyval: v.unknown(),
});
export type TufKey = v.InferOutput<typeof tufKeySchema>;

const keyvalSchema = v.looseObject({ public: v.pipe(v.string(), v.maxLength(PUBLIC_CHARACTERS_MAX)) });

/** A key that can verify signatures. */
export interface VerifyingKey {
  /**
   * SHA-256 of the DER SubjectPublicKeyInfo. It identifies the key itself, independent of its id.
   */
  readonly fingerprint: string;
  verifies(message: Uint8Array, signature: Uint8Array): boolean;
}

interface Kind {
  readonly keytype: string;
  /** The name that securesystemslib used before the specification settled. */
  readonly formerKeytype?: string;
  readonly scheme: string;
  /** @returns undefined when the key is not of this kind. */
  load(text: string): KeyObject | undefined;
  isOf(key: KeyObject): boolean;
  text(key: KeyObject): string;
  sign(message: Uint8Array, key: KeyObject): Uint8Array;
  verify(message: Uint8Array, key: KeyObject, signature: Uint8Array): boolean;
}

// RFC 8410 section 4: the fixed header in front of the 32 bytes
const ED25519_SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

const publicHalf = (key: KeyObject): KeyObject => (key.type === "private" ? createPublicKey(key) : key);

const pem = {
  load: (text: string): KeyObject => createPublicKey({ key: text, format: "pem" }),
  text: (key: KeyObject): string => publicHalf(key).export({ format: "pem", type: "spki" }),
};
const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
const PSS_ANY_SALT = { ...PSS, saltLength: constants.RSA_PSS_SALTLEN_AUTO };

const KINDS: readonly Kind[] = [
  {
    keytype: "ed25519",
    scheme: "ed25519",
    load: (text) =>
      /^[0-9a-f]{64}$/iu.test(text)
        ? createPublicKey({ key: Buffer.concat([ED25519_SPKI_PREFIX, Buffer.from(text, "hex")]), format: "der", type: "spki" })
        : undefined,
    isOf: (key) => key.asymmetricKeyType === "ed25519",
    text: (key) => publicHalf(key).export({ format: "der", type: "spki" }).subarray(-32).toString("hex"),
    sign: (message, key) => sign(null, message, key),
    verify: (message, key, signature) => verify(null, message, key, signature),
  },
  {
    keytype: "ecdsa",
    formerKeytype: "ecdsa-sha2-nistp256",
    scheme: "ecdsa-sha2-nistp256",
    ...pem,
    isOf: (key) => key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1",
    sign: (message, key) => sign("sha256", message, key),
    verify: (message, key, signature) => verify("sha256", message, key, signature),
  },
  {
    keytype: "rsa",
    scheme: "rsassa-pss-sha256",
    ...pem,
    isOf: (key) => {
      const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
      return key.asymmetricKeyType === "rsa" && bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX;
    },
    sign: (message, key) => sign("sha256", message, { key, ...PSS }),
    // the scheme names no salt length
    verify: (message, key, signature) => verify("sha256", message, { key, ...PSS_ANY_SALT }, signature),
  },
  {
    keytype: "ml-dsa",
    scheme: "ml-dsa-65/1",
    ...pem,
    isOf: (key) => key.asymmetricKeyType === "ml-dsa-65",
    sign: (message, key) => sign(null, preHashed(message), key),
    verify: (message, key, signature) => verify(null, preHashed(message), key, signature),
  },
];

/**
 * TAP 21: pure ML-DSA with an empty context over `tuf`, the version byte and SHA-512 of the
 * canonical form.
 */
function preHashed(message: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from("tuf\u0001"), createHash("sha512").update(message).digest()]);
}

/** TUF section 4.2: the hex SHA-256 of the key's canonical form. */
export function keyIdOf(key: TufKey): string {
  return createHash("sha256").update(canonicalBytes(key)).digest("hex");
}

/**
 * @returns undefined for an unknown type, and for a key that does not match its type: neither ever
 *   counts. [OTA-2]
 */
export function verifyingKey(key: TufKey): VerifyingKey | undefined {
  const kind = KINDS.find(
    ({ keytype, formerKeytype, scheme }) => (key.keytype === keytype || key.keytype === formerKeytype) && key.scheme === scheme,
  );
  const keyval = tryCheck(keyvalSchema, key.keyval);
  if (kind === undefined || keyval === undefined) return undefined;
  const loaded = loadedBy(kind, keyval.public);
  if (loaded === undefined) return undefined;
  const der = loaded.export({ format: "der", type: "spki" });
  return {
    fingerprint: createHash("sha256").update(der).digest("hex"),
    verifies: (message, signature) => kind.verify(message, loaded, signature),
  };
}

/** A key that OpenSSL cannot read is not of this kind, for any error that it reports. */
function loadedBy(kind: Kind, text: string): KeyObject | undefined {
  try {
    const key = kind.load(text);
    return key !== undefined && kind.isOf(key) ? key : undefined;
  } catch (error) {
    // Node's ERR_* and OpenSSL's ERR_OSSL_*: nothing else is thrown here
    if (error instanceof Error && "code" in error) return undefined;
    throw error;
  }
}

/**
 * The public half of `key` as metadata lists it.
 * @throws Fault `trust.invalid` for a key type that the device would not count.
 */
export function tufKeyOf(key: KeyObject): TufKey {
  const kind = kindOf(key);
  return { keytype: kind.keytype, scheme: kind.scheme, keyval: { public: kind.text(key) } };
}

/**
 * The hex signature over the canonical form.
 * @throws Fault `trust.invalid` for a key type that the device would not count.
 */
export function signatureOf(message: Uint8Array, privateKey: KeyObject): string {
  return Buffer.from(kindOf(privateKey).sign(message, privateKey)).toString("hex");
}

function kindOf(key: KeyObject): Kind {
  const kind = KINDS.find((each) => each.isOf(key));
  if (kind === undefined)
    throw new Fault(
      "trust.invalid",
      `metadata is signed with ${KINDS.map(({ scheme }) => scheme).join(", ")}; this key is ${key.asymmetricKeyType ?? "secret"}`,
    );
  return kind;
}
