// Structures of TPM 2.0 Library Part 2, read and written: public areas, private blobs, signatures,
// tickets. What this layer has no use for (other curves, other kinds of objects) is refused by
// name.
import { createHash } from "node:crypto";
import { assert, Fault } from "../../fault.ts";
import { ALG, CURVE_P256 } from "./constants.ts";
import { join, sized, u16, u32, type WireReader } from "./wire.ts";

/** Bytes of an elliptic curve coordinate of P-256, and of a SHA-256. */
export const P256_BYTES = 32;

/** A signing scheme, or none: then each signature names its own. */
export type SigningScheme =
  | { readonly algorithm: "null" }
  | { readonly algorithm: "ecdsa" | "rsassa" | "rsapss"; readonly hash: number };

/** How a storage key encrypts its children; keys for signing have none. */
export type ChildCipher = "none" | "aes128-cfb";

interface PublicCommon {
  /** TPM_ALG_ID of the hash that names the object. */
  readonly nameAlg: number;
  /** TPMA_OBJECT. */
  readonly attributes: number;
  readonly authPolicy: Uint8Array;
}

/** TPMT_PUBLIC, of the kinds that this layer knows. */
export type PublicArea =
  | (PublicCommon & {
      readonly type: "ecc";
      readonly cipher: ChildCipher;
      readonly scheme: SigningScheme;
      readonly x: Uint8Array;
      readonly y: Uint8Array;
    })
  | (PublicCommon & {
      readonly type: "rsa";
      readonly cipher: ChildCipher;
      readonly scheme: SigningScheme;
      readonly keyBits: number;
      /** 0 stands for 65537. */
      readonly exponent: number;
      readonly modulus: Uint8Array;
    })
  | (PublicCommon & {
      readonly type: "keyed-hash";
      /** The hash of an HMAC key; undefined for sealed data. */
      readonly hmacHash: number | undefined;
      readonly unique: Uint8Array;
    });

/** TPMT_SIGNATURE, of the kinds that this layer knows. */
export type TpmSignature =
  | { readonly algorithm: "ecdsa"; readonly hash: number; readonly r: Uint8Array; readonly s: Uint8Array }
  | { readonly algorithm: "rsassa" | "rsapss"; readonly hash: number; readonly signature: Uint8Array };

const SCHEMES = { ecdsa: ALG.ecdsa, rsassa: ALG.rsassa, rsapss: ALG.rsapss } as const;

function schemeOf(algorithm: number): keyof typeof SCHEMES | undefined {
  if (algorithm === ALG.ecdsa) return "ecdsa";
  if (algorithm === ALG.rsassa) return "rsassa";
  return algorithm === ALG.rsapss ? "rsapss" : undefined;
}

/** TPMT_SIG_SCHEME, TPMT_ECC_SCHEME and TPMT_RSA_SCHEME alike. (Part 2, tables 161, 171, 182) */
export function writeScheme(scheme: SigningScheme): Uint8Array {
  return scheme.algorithm === "null" ? u16(ALG.null) : join(u16(SCHEMES[scheme.algorithm]), u16(scheme.hash));
}

/** The scheme within a public area. (Part 2, tables 171 and 182) */
function readScheme(reader: WireReader): SigningScheme {
  const algorithm = reader.u16();
  if (algorithm === ALG.null) return { algorithm: "null" };
  const name = schemeOf(algorithm);
  if (name === undefined) throw reader.wrong(`scheme ${hex(algorithm)}, which is not supported`);
  return { algorithm: name, hash: reader.u16() };
}

/** TPMT_SYM_DEF_OBJECT. (Part 2, table 141) */
function writeCipher(cipher: ChildCipher): Uint8Array {
  return cipher === "none" ? u16(ALG.null) : join(u16(ALG.aes), u16(128), u16(ALG.cfb));
}

function readCipher(reader: WireReader): ChildCipher {
  const algorithm = reader.u16();
  if (algorithm === ALG.null) return "none";
  const [bits, mode] = [reader.u16(), reader.u16()];
  if (algorithm === ALG.aes && bits === 128 && mode === ALG.cfb) return "aes128-cfb";
  throw reader.wrong(`cipher ${hex(algorithm)} with ${bits} bits in mode ${hex(mode)}; AES-128-CFB is supported`);
}

/** TPMT_PUBLIC. (Part 2, table 200; its parameters: tables 194 to 197) */
export function writePublic(area: PublicArea): Uint8Array {
  const head = (type: number): Uint8Array => join(u16(type), u16(area.nameAlg), u32(area.attributes), sized(area.authPolicy));
  switch (area.type) {
    case "ecc":
      return join(
        head(ALG.ecc),
        writeCipher(area.cipher),
        writeScheme(area.scheme),
        u16(CURVE_P256),
        u16(ALG.null),
        sized(area.x),
        sized(area.y),
      );
    case "rsa":
      return join(
        head(ALG.rsa),
        writeCipher(area.cipher),
        writeScheme(area.scheme),
        u16(area.keyBits),
        u32(area.exponent),
        sized(area.modulus),
      );
    default: {
      const scheme = area.hmacHash === undefined ? u16(ALG.null) : join(u16(ALG.hmac), u16(area.hmacHash));
      return join(head(ALG.keyedHash), scheme, sized(area.unique));
    }
  }
}

/**
 * TPMT_PUBLIC. (Part 2, table 200)
 * @throws Fault `tpm.protocol` for what is malformed, or of a kind that this layer does not know.
 */
export function readPublic(reader: WireReader): PublicArea {
  const type = reader.u16();
  const common = { nameAlg: reader.u16(), attributes: reader.u32(), authPolicy: reader.sized() };
  switch (type) {
    case ALG.ecc: {
      const [cipher, scheme, curve, kdf] = [readCipher(reader), readScheme(reader), reader.u16(), reader.u16()];
      if (curve !== CURVE_P256) throw reader.wrong(`curve ${hex(curve)}; P-256 is supported`);
      if (kdf !== ALG.null) throw reader.wrong(`key derivation ${hex(kdf)}; none is supported`);
      return { type: "ecc", ...common, cipher, scheme, x: coordinate(reader), y: coordinate(reader) };
    }
    case ALG.rsa: {
      const [cipher, scheme, keyBits, exponent] = [readCipher(reader), readScheme(reader), reader.u16(), reader.u32()];
      return { type: "rsa", ...common, cipher, scheme, keyBits, exponent, modulus: reader.sized() };
    }
    case ALG.keyedHash: {
      const scheme = reader.u16();
      if (scheme !== ALG.null && scheme !== ALG.hmac) throw reader.wrong(`scheme ${hex(scheme)}; HMAC or none is supported`);
      return { type: "keyed-hash", ...common, hmacHash: scheme === ALG.null ? undefined : reader.u16(), unique: reader.sized() };
    }
    default:
      throw reader.wrong(`an object of type ${hex(type)}, which is not supported`);
  }
}

/** TPM2B_ECC_PARAMETER of P-256. (Part 2, table 177) */
function coordinate(reader: WireReader): Uint8Array {
  const bytes = reader.sized();
  if (bytes.length > P256_BYTES) throw reader.wrong(`a coordinate of ${bytes.length} bytes`);
  return bytes;
}

/** TPM2B_PUBLIC. (Part 2, table 201) */
export function writeSizedPublic(area: PublicArea): Uint8Array {
  return sized(writePublic(area));
}

/** TPM2B_PUBLIC. (Part 2, table 201) */
export function readSizedPublic(reader: WireReader): PublicArea {
  return reader.within(readPublic);
}

/** TPMS_ECC_POINT. (Part 2, table 178) */
export function writePoint(x: Uint8Array, y: Uint8Array): Uint8Array {
  return join(sized(x), sized(y));
}

/** TPM2B_SENSITIVE_CREATE with its TPMS_SENSITIVE_CREATE. (Part 2, tables 149 and 150) */
export function writeSensitiveCreate(auth: Uint8Array, data: Uint8Array): Uint8Array {
  return sized(join(sized(auth), sized(data)));
}

/** TPMT_SIGNATURE. (Part 2, table 189; its content: tables 184 to 187) */
export function readSignature(reader: WireReader): TpmSignature {
  const algorithm = reader.u16();
  const name = schemeOf(algorithm);
  if (name === undefined) throw reader.wrong(`a signature of scheme ${hex(algorithm)}, which is not supported`);
  const hash = reader.u16();
  if (name === "ecdsa") return { algorithm: name, hash, r: coordinate(reader), s: coordinate(reader) };
  return { algorithm: name, hash, signature: reader.sized() };
}

/** TPMT_SIGNATURE. (Part 2, table 189) */
export function writeSignature(signature: TpmSignature): Uint8Array {
  const head = join(u16(SCHEMES[signature.algorithm]), u16(signature.hash));
  if (signature.algorithm === "ecdsa") return join(head, sized(signature.r), sized(signature.s));
  return join(head, sized(signature.signature));
}

/** TPMT_HA, a digest with its algorithm. (Part 2, table 79) */
export function writeDigest(hash: number, digest: Uint8Array): Uint8Array {
  assert(digest.length === digestBytes(hash), "a digest has the length of its hash");
  return join(u16(hash), digest);
}

/** Bytes of a digest. @throws Fault `tpm.invalid` for a hash that this layer does not know. */
export function digestBytes(hash: number): number {
  return digestOf(hash, new Uint8Array()).length;
}

/** @throws Fault `tpm.invalid` for a hash that this layer does not know. */
export function digestOf(hash: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const digest = createHash(hashName(hash));
  for (const part of parts) digest.update(part);
  return new Uint8Array(digest.digest());
}

/** The name of a TPM_ALG_ID in node:crypto. @throws Fault `tpm.invalid` for an unknown one. */
export function hashName(hash: number): string {
  switch (hash) {
    case ALG.sha1:
      return "sha1";
    case ALG.sha256:
      return "sha256";
    case ALG.sha384:
      return "sha384";
    case ALG.sha512:
      return "sha512";
    default:
      throw new Fault("tpm.invalid", `hash algorithm ${hex(hash)} of the TPM is not supported; use SHA-256`);
  }
}

/** The Name of an object: nameAlg and the hash of its public area. (Part 1, Names) */
export function nameOf(area: PublicArea): Uint8Array {
  return join(u16(area.nameAlg), digestOf(area.nameAlg, writePublic(area)));
}

/** For messages: `0x81000001`. */
export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
