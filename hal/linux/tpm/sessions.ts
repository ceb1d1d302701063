// Starting sessions, and the policies that they collect. (Part 3, clauses 11.1 and 23)
import { constants, createECDH, publicEncrypt, randomBytes } from "node:crypto";
import { Fault } from "../../fault.ts";
import { ALG, COMMAND, HANDLE, SESSION_TYPE } from "./constants.ts";
import { kdfA, kdfE, SESSION_HASH, SESSION_HASH_BYTES } from "./kdf.ts";
import { padded, permanent, publicKeyObject } from "./objects.ts";
import { type PcrSelection, writePcrSelection } from "./pcr.ts";
import { NO_PASSWORD, type TpmEntity, TpmSession } from "./session.ts";
import { digestBytes, hashName, type PublicArea, type TpmSignature, writePoint, writeSignature } from "./structures.ts";
import type { Tpm } from "./tpm.ts";
import { join, sized, u16, u32, u8, type WireReader } from "./wire.ts";

const EMPTY = new Uint8Array();

/** A storage key that the TPM has loaded, P-256 or RSA, to which a session's salt is encrypted. */
export type SaltKey = TpmEntity & { readonly area: PublicArea };

/** What a session is for; a `trial` computes a policy's digest and authorizes nothing. */
export type TpmSessionKind = keyof typeof SESSION_TYPE;

/**
 * TPM2_StartAuthSession, unbound, with SHA-256 and AES-128-CFB. (Part 3, clause 11.1)
 * @param saltKey its owner alone can learn the session's secret, so what the session covers is safe
 *   from who listens between; without it nothing is encrypted.
 */
export async function startSession(tpm: Tpm, kind: TpmSessionKind, saltKey?: SaltKey): Promise<TpmSession> {
  const nonceCaller = randomBytes(SESSION_HASH_BYTES);
  const { salt, encrypted } = saltKey === undefined ? { salt: EMPTY, encrypted: EMPTY } : saltFor(saltKey.area);
  const cipher = join(u16(ALG.aes), u16(128), u16(ALG.cfb));
  return await tpm.load(
    {
      name: "TPM2_StartAuthSession",
      code: COMMAND.startAuthSession,
      handles: [saltKey ?? permanent(HANDLE.null), permanent(HANDLE.null)],
      parameters: join(sized(nonceCaller), sized(encrypted), u8(SESSION_TYPE[kind]), cipher, u16(SESSION_HASH)),
    },
    (handle, reader) => {
      const nonceTpm = reader.sized();
      const sessionKey = salt.length === 0 ? EMPTY : kdfA(salt, "ATH", nonceTpm, nonceCaller, SESSION_HASH_BYTES);
      return new TpmSession({ ...permanent(handle), sessionKey, nonceTpm, release: () => tpm.release(handle) });
    },
  );
}

interface Salt {
  readonly salt: Uint8Array;
  /** The content of TPM2B_ENCRYPTED_SECRET. (Part 2, table 191) */
  readonly encrypted: Uint8Array;
}

/** The label of a salt. (Part 1, Salted session key generation) */
const SALT_LABEL = "SECRET";

/** [ID-75] The hash is that of the key's Name. */
function saltFor(area: PublicArea): Salt {
  switch (area.type) {
    case "ecc":
      return saltByEcdh(area);
    case "rsa":
      return saltByOaep(area);
    default:
      throw new Fault("tpm.invalid", `a session is salted to a storage key, not to an object of type "${area.type}"`);
  }
}

/** A salt by ECDH with a key of this moment. (Part 1, annex C; Part 2, table 178) */
function saltByEcdh(area: PublicArea & { readonly type: "ecc" }): Salt {
  const [x, y] = [padded(area.x), padded(area.y)];
  const ours = createECDH("prime256v1");
  const point = ours.generateKeys();
  const [ourX, ourY] = [point.subarray(1, 33), point.subarray(33)];
  try {
    const z = ours.computeSecret(join(u8(4), x, y));
    return { salt: kdfE(area.nameAlg, z, SALT_LABEL, ourX, x, digestBytes(area.nameAlg)), encrypted: writePoint(ourX, ourY) };
  } catch (error) {
    throw new Fault("tpm.protocol", "the storage key of the TPM is no point of P-256", { cause: error });
  }
}

/** A random salt by OAEP, whose label ends with a zero. (Part 1, annex B, RSAES_OAEP) */
function saltByOaep(area: PublicArea & { readonly type: "rsa" }): Salt {
  const salt = randomBytes(SESSION_HASH_BYTES);
  const oaep = { oaepHash: hashName(area.nameAlg), oaepLabel: Buffer.from(`${SALT_LABEL}\0`, "ascii") };
  try {
    const key = { key: publicKeyObject(area), padding: constants.RSA_PKCS1_OAEP_PADDING, ...oaep };
    return { salt, encrypted: publicEncrypt(key, salt) };
  } catch (error) {
    throw new Fault("tpm.protocol", "the storage key of the TPM is no RSA key", { cause: error });
  }
}

/**
 * TPM2_PolicyPCR: the registers have the values of now, or those of `digest`. (Part 3, clause 23.7)
 * @param digest the hash of the values; empty for those of now.
 */
export function policyPcr(tpm: Tpm, session: TpmSession, selections: readonly PcrSelection[], digest = EMPTY): Promise<void> {
  const parameters = join(sized(digest), writePcrSelection(selections));
  return tpm.run({ name: "TPM2_PolicyPCR", code: COMMAND.policyPcr, handles: [session], parameters }, () => undefined);
}

/** TPM2_PolicySecret: the caller knows the password of `entity`. (Part 3, clause 23.4) */
export function policySecret(tpm: Tpm, session: TpmSession, entity: TpmEntity, auth = NO_PASSWORD): Promise<void> {
  const noLimits = join(sized(EMPTY), sized(EMPTY), sized(EMPTY), u32(0));
  return tpm.run(
    {
      name: "TPM2_PolicySecret",
      code: COMMAND.policySecret,
      handles: [entity, session],
      auths: [auth],
      parameters: noLimits,
      sized: "both",
    },
    (reader) => {
      reader.sized();
      readTicket(reader);
    },
  );
}

/** TPMT_TK_VERIFIED: this TPM saw a signature. (Part 2, table 97) */
export interface VerifiedTicket {
  readonly tag: number;
  readonly hierarchy: number;
  readonly digest: Uint8Array;
}

function readTicket(reader: WireReader): VerifiedTicket {
  return { tag: reader.u16(), hierarchy: reader.u32(), digest: reader.sized() };
}

/** TPM2_VerifySignature. (Part 3, clause 20.1) @throws Fault `tpm.refused` for a wrong one. */
export function verifySignature(tpm: Tpm, key: TpmEntity, digest: Uint8Array, signature: TpmSignature): Promise<VerifiedTicket> {
  const parameters = join(sized(digest), writeSignature(signature));
  return tpm.run({ name: "TPM2_VerifySignature", code: COMMAND.verifySignature, handles: [key], parameters }, readTicket);
}

/**
 * TPM2_PolicyAuthorize: the policy so far is one that the holder of a key signed.
 * (Part 3, clause 23.16)
 * @param approved the policy's digest, `keyName` the Name of the key, `ticket` of its signature
 *   over the digest's hash.
 */
export function policyAuthorize(
  tpm: Tpm,
  session: TpmSession,
  { approved, keyName, ticket }: { readonly approved: Uint8Array; readonly keyName: Uint8Array; readonly ticket: VerifiedTicket },
): Promise<void> {
  const written = join(u16(ticket.tag), u32(ticket.hierarchy), sized(ticket.digest));
  const parameters = join(sized(approved), sized(EMPTY), sized(keyName), written);
  return tpm.run(
    { name: "TPM2_PolicyAuthorize", code: COMMAND.policyAuthorize, handles: [session], parameters },
    () => undefined,
  );
}

/** TPM2_PolicyGetDigest. (Part 3, clause 23.19) */
export function policyGetDigest(tpm: Tpm, session: TpmSession): Promise<Uint8Array> {
  return tpm.run({ name: "TPM2_PolicyGetDigest", code: COMMAND.policyGetDigest, handles: [session] }, (reader) => reader.sized());
}
