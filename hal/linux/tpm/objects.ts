// Keys and sealed data: templates, making, loading, using. (Part 3, clauses 12, 20, 24, 28)
import { createPublicKey, type KeyObject } from "node:crypto";
import { Fault } from "../../fault.ts";
import { ALG, COMMAND, HANDLE, OBJECT, TAG } from "./constants.ts";
import { writePcrSelection } from "./pcr.ts";
import { type Authorization, NO_PASSWORD, type TpmEntity, type TpmSession } from "./session.ts";
import {
  hex,
  nameOf,
  P256_BYTES,
  type PublicArea,
  readSignature,
  readSizedPublic,
  type SigningScheme,
  type TpmSignature,
  writeScheme,
  writeSensitiveCreate,
  writeSizedPublic,
} from "./structures.ts";
import type { Tpm } from "./tpm.ts";
import { join, sized, u16, u32, type WireReader } from "./wire.ts";

const EMPTY = new Uint8Array();
/** What exponent 0 stands for. (Part 2, table 197) */
const RSA_EXPONENT = 65_537;
const NONE: SigningScheme = { algorithm: "null" };

/** Born in this TPM, never to leave it, used with its password, which a power cut does not lock. */
const OURS = OBJECT.fixedTpm | OBJECT.fixedParent | OBJECT.sensitiveDataOrigin | OBJECT.userWithAuth | OBJECT.noDa;

const ECC = { type: "ecc", nameAlg: ALG.sha256, authPolicy: EMPTY, x: EMPTY, y: EMPTY } as const;

/**
 * The storage root of TCG's provisioning guidance, P-256. It is also the parent that OpenSSL's tpm2
 * provider derives for a hierarchy, so a TPM makes the same key for both.
 */
export const STORAGE_TEMPLATE: PublicArea = {
  ...ECC,
  attributes: OURS | OBJECT.restricted | OBJECT.decrypt,
  cipher: "aes128-cfb",
  scheme: NONE,
};

/** PolicySecret of the endorsement hierarchy. (TCG EK Credential Profile 2.5, PolicyA, SHA-256) */
const POLICY_A = Buffer.from("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa", "hex");

/**
 * The endorsement key of P-256, template L-2 of the TCG EK Credential Profile 2.5. Every TPM
 * derives its own from the seed of the maker, which no clear of the TPM changes.
 */
export const ENDORSEMENT_TEMPLATE: PublicArea = {
  ...ECC,
  attributes:
    OBJECT.fixedTpm |
    OBJECT.fixedParent |
    OBJECT.sensitiveDataOrigin |
    OBJECT.adminWithPolicy |
    OBJECT.restricted |
    OBJECT.decrypt,
  authPolicy: POLICY_A,
  cipher: "aes128-cfb",
  scheme: NONE,
  x: new Uint8Array(P256_BYTES),
  y: new Uint8Array(P256_BYTES),
};

/** A storage root of RSA 2048, as older owners have it at 0x81000001. */
export const RSA_STORAGE_TEMPLATE: PublicArea = {
  type: "rsa",
  nameAlg: ALG.sha256,
  authPolicy: EMPTY,
  keyBits: 2048,
  exponent: 0,
  modulus: EMPTY,
  attributes: OURS | OBJECT.restricted | OBJECT.decrypt,
  cipher: "aes128-cfb",
  scheme: NONE,
};

/**
 * The device's key: it signs what it is given, as TLS needs, so it is not restricted. Its empty
 * password protects nothing, so it is not under protection against dictionary attacks either, which
 * would count every power cut as an attack. [ID-40]
 */
export const SIGNING_TEMPLATE: PublicArea = { ...ECC, attributes: OURS | OBJECT.sign, cipher: "none", scheme: NONE };

/** Signs only what the TPM itself made: quotes and certificates of keys. */
export const ATTESTATION_TEMPLATE: PublicArea = {
  ...ECC,
  attributes: OURS | OBJECT.sign | OBJECT.restricted,
  cipher: "none",
  scheme: { algorithm: "ecdsa", hash: ALG.sha256 },
};

/**
 * Sealed data. Only a policy opens it where `authPolicy` has one; otherwise its password does. It
 * is not under protection against dictionary attacks, so such a password must be random.
 */
export function sealTemplate(authPolicy: Uint8Array = EMPTY): PublicArea {
  const user = authPolicy.length === 0 ? OBJECT.userWithAuth : 0;
  const attributes = OBJECT.fixedTpm | OBJECT.fixedParent | OBJECT.noDa | user;
  return { type: "keyed-hash", nameAlg: ALG.sha256, attributes, authPolicy, hmacHash: undefined, unique: EMPTY };
}

/** A hierarchy or another handle whose Name is the handle itself. (Part 1, Names) */
export function permanent(handle: number): TpmEntity {
  return { handle, name: u32(handle) };
}

/** What lies in one of the TPM's three slots. Give it back with `await using`. [ID-43] */
export class LoadedObject implements TpmEntity, AsyncDisposable {
  readonly handle: number;
  readonly name: Uint8Array;
  readonly area: PublicArea;
  readonly #tpm: Tpm;

  constructor(tpm: Tpm, handle: number, area: PublicArea) {
    this.handle = handle;
    this.name = nameOf(area);
    this.area = area;
    this.#tpm = tpm;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#tpm.release(this.handle);
  }
}

/** A key that is not loaded: the public area, and the private one encrypted by its parent. */
export interface KeyBlob {
  readonly area: PublicArea;
  /** The content of TPM2B_PRIVATE. (Part 2, table 208) */
  readonly privateBlob: Uint8Array;
}

export interface CreateOptions {
  /** Of the parent or hierarchy; without a password when left out. */
  readonly auth?: Authorization;
  /** The password of what is made; none when left out. */
  readonly password?: Uint8Array;
  /** What is sealed. */
  readonly data?: Uint8Array;
  /** Encrypts password and data on the way. */
  readonly cover?: TpmSession;
}

/** inSensitive, inPublic, outsideInfo and creationPCR of both commands that make something. */
function creation({ password = EMPTY, data = EMPTY }: CreateOptions, template: PublicArea): Uint8Array {
  return join(writeSensitiveCreate(password, data), writeSizedPublic(template), sized(EMPTY), writePcrSelection([]));
}

/** TPM2B_CREATION_DATA, its digest and ticket, which nobody here needs. (Part 2, tables 223, 96) */
function skipCreation(reader: WireReader): void {
  reader.sized();
  reader.sized();
  skipTicket(reader);
}

/** TPMT_TK_CREATION. (Part 2, table 96) */
export function skipTicket(reader: WireReader): void {
  reader.u16();
  reader.u32();
  reader.sized();
}

/** The Name that the TPM tells must be the one that its public area has. */
function checkName(reader: WireReader, area: PublicArea, name: Uint8Array): void {
  if (!Buffer.from(nameOf(area)).equals(name)) throw reader.wrong("a Name that is not the one of the public area");
}

/**
 * TPM2_CreatePrimary: derives a key from the seed of a hierarchy; the same template gives the same
 * key. (Part 3, clause 24.1)
 */
export function createPrimary(
  tpm: Tpm,
  hierarchy: number,
  template: PublicArea,
  options: CreateOptions = {},
): Promise<LoadedObject> {
  const { auth = NO_PASSWORD, cover } = options;
  return tpm.load(
    {
      name: "TPM2_CreatePrimary",
      code: COMMAND.createPrimary,
      handles: [permanent(hierarchy)],
      auths: [auth],
      cover,
      parameters: creation(options, template),
      sized: "both",
      isSlow: true,
    },
    (handle, reader) => {
      const area = readSizedPublic(reader);
      skipCreation(reader);
      checkName(reader, area, reader.sized());
      return new LoadedObject(tpm, handle, area);
    },
  );
}

/** TPM2_Create: makes a child of `parent` from the TPM's random numbers. (Part 3, clause 12.1) */
export function create(tpm: Tpm, parent: TpmEntity, template: PublicArea, options: CreateOptions = {}): Promise<KeyBlob> {
  const { auth = NO_PASSWORD, cover } = options;
  return tpm.run(
    {
      name: "TPM2_Create",
      code: COMMAND.create,
      handles: [parent],
      auths: [auth],
      cover,
      parameters: creation(options, template),
      sized: "both",
      isSlow: true,
    },
    (reader) => {
      const privateBlob = reader.sized();
      const area = readSizedPublic(reader);
      skipCreation(reader);
      return { area, privateBlob };
    },
  );
}

/** TPM2_Load. (Part 3, clause 12.2) @throws Fault `tpm.not-ours` for a blob of another parent. */
export function load(tpm: Tpm, parent: TpmEntity, { area, privateBlob }: KeyBlob, auth = NO_PASSWORD): Promise<LoadedObject> {
  return tpm.load(
    {
      name: "TPM2_Load",
      code: COMMAND.load,
      handles: [parent],
      auths: [auth],
      parameters: join(sized(privateBlob), writeSizedPublic(area)),
    },
    (handle, reader) => {
      checkName(reader, area, reader.sized());
      return new LoadedObject(tpm, handle, area);
    },
  );
}

/** TPM2_LoadExternal of a public key, to verify with. (Part 3, clause 12.3) */
export function loadExternal(tpm: Tpm, area: PublicArea, hierarchy: number = HANDLE.owner): Promise<LoadedObject> {
  const parameters = join(sized(EMPTY), writeSizedPublic(area), u32(hierarchy));
  return tpm.load({ name: "TPM2_LoadExternal", code: COMMAND.loadExternal, parameters }, (handle, reader) => {
    checkName(reader, area, reader.sized());
    return new LoadedObject(tpm, handle, area);
  });
}

/** TPM2_ReadPublic. (Part 3, clause 12.4) @throws Fault `tpm.missing` when nothing is there. */
export function readPublicOf(tpm: Tpm, handle: number): Promise<TpmEntity & { readonly area: PublicArea }> {
  return tpm.run({ name: "TPM2_ReadPublic", code: COMMAND.readPublic, handles: [permanent(handle)] }, (reader) => {
    const area = readSizedPublic(reader);
    checkName(reader, area, reader.sized());
    reader.sized();
    return { handle, name: nameOf(area), area };
  });
}

/**
 * TPM2_Sign: signs a digest with ECDSA. (Part 3, clause 20.2)
 * @param hash TPM_ALG_ID of the hash that made the digest.
 */
export function sign(
  tpm: Tpm,
  key: TpmEntity,
  digest: Uint8Array,
  auth = NO_PASSWORD,
  hash: number = ALG.sha256,
): Promise<TpmSignature> {
  // The empty ticket says that the TPM did not make the digest. (Part 2, table 99)
  const ticket = join(u16(TAG.hashCheck), u32(HANDLE.null), sized(EMPTY));
  const parameters = join(sized(digest), writeScheme({ algorithm: "ecdsa", hash }), ticket);
  return tpm.run(
    { name: "TPM2_Sign", code: COMMAND.sign, handles: [key], auths: [auth], parameters, sized: "command" },
    readSignature,
  );
}

/** TPM2_Unseal. (Part 3, clause 12.7) With a salted session the data is encrypted on the way. */
export function unseal(tpm: Tpm, item: TpmEntity, auth = NO_PASSWORD, cover?: TpmSession): Promise<Uint8Array> {
  return tpm.run(
    { name: "TPM2_Unseal", code: COMMAND.unseal, handles: [item], auths: [auth], cover, sized: "response" },
    (reader) => reader.sized(),
  );
}

/**
 * TPM2_ActivateCredential: opens what was encrypted for `key` and holds for `object` only.
 * (Part 3, clause 12.5)
 * @param auths of `object` and of `key`.
 */
export function activateCredential(
  tpm: Tpm,
  { object, key }: { readonly object: TpmEntity; readonly key: TpmEntity },
  { credential, secret }: { readonly credential: Uint8Array; readonly secret: Uint8Array },
  auths: readonly [Authorization, Authorization],
): Promise<Uint8Array> {
  return tpm.run(
    {
      name: "TPM2_ActivateCredential",
      code: COMMAND.activateCredential,
      handles: [object, key],
      auths,
      sized: "both",
      parameters: join(sized(credential), sized(secret)),
    },
    (reader) => reader.sized(),
  );
}

/**
 * TPM2_EvictControl: keeps a loaded object under a persistent handle, or removes what is there when
 * `object` has that handle. (Part 3, clause 28.5)
 */
export function evictControl(tpm: Tpm, object: TpmEntity, persistent: number, auth = NO_PASSWORD): Promise<void> {
  const handles = [permanent(HANDLE.owner), object];
  return tpm.run(
    { name: "TPM2_EvictControl", code: COMMAND.evictControl, handles, auths: [auth], parameters: u32(persistent) },
    () => undefined,
  );
}

/**
 * Pure. The public key of an EC or RSA object.
 * @throws Fault `tpm.invalid` for another kind; `tpm.protocol` for numbers that are no key.
 */
export function publicKeyObject(area: PublicArea): KeyObject {
  try {
    return createPublicKey({ key: jwkOf(area), format: "jwk" });
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault("tpm.protocol", `a public area with attributes ${hex(area.attributes)} is no key`, { cause: error });
  }
}

/** RFC 7517. */
function jwkOf(area: PublicArea): Readonly<Record<string, string>> {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");
  switch (area.type) {
    case "ecc":
      return { kty: "EC", crv: "P-256", x: text(padded(area.x)), y: text(padded(area.y)) };
    case "rsa":
      return { kty: "RSA", n: text(area.modulus), e: text(u32(area.exponent === 0 ? RSA_EXPONENT : area.exponent)) };
    default:
      throw new Fault("tpm.invalid", `an object of type "${area.type}" is no public key; P-256 or RSA was expected`);
  }
}

/** Pure. A number of P-256 in its full length: a TPM may leave out zeros in front. */
export function padded(bytes: Uint8Array): Uint8Array {
  return join(new Uint8Array(Math.max(0, P256_BYTES - bytes.length)), bytes);
}

/** Pure. An ECDSA signature as IEEE P1363 has it: r and s, 32 bytes each. */
export function p1363(signature: TpmSignature): Uint8Array {
  if (signature.algorithm !== "ecdsa") throw new Fault("tpm.invalid", `a signature of ${signature.algorithm} is not ECDSA`);
  return join(padded(signature.r), padded(signature.s));
}
