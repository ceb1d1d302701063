// The caller's side of an authorization session: nonces, HMACs, the cipher of first parameters.
// (Part 1, Session-based authorizations; Part 2, tables 134 and 135)
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { Fault } from "../../fault.ts";
import { HANDLE, SESSION } from "./constants.ts";
import { cipherParameter, SESSION_HASH_BYTES } from "./kdf.ts";
import { join, sized, u32, u8, type WireReader } from "./wire.ts";

/** What a command names by handle, with the Name that authorizations cover. (Part 1, Names) */
export interface TpmEntity {
  readonly handle: number;
  readonly name: Uint8Array;
}

/** What proves the right to use an entity. An auth value is at most as long as a SHA-256. */
export type Authorization =
  | { readonly kind: "password"; readonly auth: Uint8Array }
  /** The auth value itself stays here: only an HMAC with it is sent. */
  | { readonly kind: "hmac"; readonly session: TpmSession; readonly auth: Uint8Array }
  | { readonly kind: "policy"; readonly session: TpmSession };

/** The authorization of what has no password. */
export const NO_PASSWORD: Authorization = { kind: "password", auth: new Uint8Array() };

const randomNonce = (): Uint8Array => randomBytes(SESSION_HASH_BYTES);

export interface SessionParts extends TpmEntity {
  /** Empty for a session without salt. */
  readonly sessionKey: Uint8Array;
  readonly nonceTpm: Uint8Array;
  readonly release: () => Promise<void>;
  /** Makes the caller's nonces; random numbers of node:crypto when left out. */
  readonly newNonce?: () => Uint8Array;
}

/** A session that the TPM holds. Give it back with `await using`: a TPM has three or so. */
export class TpmSession implements TpmEntity, AsyncDisposable {
  readonly handle: number;
  readonly name: Uint8Array;
  readonly #key: Uint8Array;
  readonly #release: () => Promise<void>;
  readonly #newNonce: () => Uint8Array;
  #nonceTpm: Uint8Array;
  #nonceCaller: Uint8Array = new Uint8Array();
  /** A command is on the way: whether the TPM rolled its nonce is not known yet. */
  #isAsking = false;

  constructor({ handle, name, sessionKey, nonceTpm, release, newNonce = randomNonce }: SessionParts) {
    this.handle = handle;
    this.name = name;
    this.#key = sessionKey;
    this.#nonceTpm = nonceTpm;
    this.#release = release;
    this.#newNonce = newNonce;
  }

  /** Whether it has a secret that first parameters can be encrypted with. */
  get isSalted(): boolean {
    return this.#key.length > 0;
  }

  get nonceTpm(): Uint8Array {
    return this.#nonceTpm;
  }

  /**
   * Makes the nonce of the next command.
   * @throws Fault `tpm.missing` when the response to the last one was not accepted. The TPM's nonce
   *   is not known then, and an HMAC with the wrong one would count as a wrong password.
   */
  rollCaller(): void {
    if (this.#isAsking)
      throw new Fault("tpm.missing", "a session lost its place after a response that was refused; begin a new one");
    this.#isAsking = true;
    this.#nonceCaller = this.#newNonce();
  }

  /** The first parameter of a command, encrypted. */
  encrypt(auth: Uint8Array, content: Uint8Array): Uint8Array {
    return cipherParameter("encrypt", join(this.#key, auth), this.#nonceCaller, this.#nonceTpm, content);
  }

  /** The first parameter of a response, in clear. Only after {@link accept}. */
  decrypt(auth: Uint8Array, content: Uint8Array): Uint8Array {
    return cipherParameter("decrypt", join(this.#key, auth), this.#nonceTpm, this.#nonceCaller, content);
  }

  /**
   * TPMS_AUTH_COMMAND. (Part 2, table 134)
   * @param others nonces of the TPM of sessions that only encrypt, for the first session.
   */
  authCommand(auth: Uint8Array, cpHash: Uint8Array, attributes: number, others: Uint8Array): Uint8Array {
    const hmac = this.#hmac(auth, cpHash, this.#nonceCaller, join(this.#nonceTpm, others), attributes);
    return join(u32(this.handle), sized(this.#nonceCaller), u8(attributes), sized(hmac));
  }

  /** The TPM refused the command, and kept its nonce. */
  refused(): void {
    this.#isAsking = false;
  }

  /** @returns whether the HMAC of a response is right. The TPM's new nonce is taken only then. */
  accept({ nonce, attributes, hmac }: AuthResponse, auth: Uint8Array, rpHash: Uint8Array): boolean {
    const expected = this.#hmac(auth, rpHash, nonce, this.#nonceCaller, attributes);
    if (expected.length !== hmac.length || !timingSafeEqual(expected, hmac)) return false;
    this.#nonceTpm = nonce;
    this.#isAsking = false;
    return true;
  }

  /**
   * The HMAC of Part 1. Without salt and password its key is empty, also in a policy session. A TPM
   * takes no HMAC there as well, but one is what tss2 sends, and so what each chip is used to.
   */
  #hmac(auth: Uint8Array, hash: Uint8Array, newer: Uint8Array, older: Uint8Array, attributes: number): Uint8Array {
    const key = join(this.#key, auth);
    return createHmac("sha256", key).update(hash).update(newer).update(older).update(u8(attributes)).digest();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#release();
  }
}

/** TPMS_AUTH_RESPONSE. (Part 2, table 135) */
export interface AuthResponse {
  readonly nonce: Uint8Array;
  readonly attributes: number;
  readonly hmac: Uint8Array;
}

export function readAuthResponse(reader: WireReader): AuthResponse {
  return { nonce: reader.sized(), attributes: reader.u8(), hmac: reader.sized() };
}

/** TPMS_AUTH_COMMAND of a password. (Part 2, table 134) */
export function passwordCommand(auth: Uint8Array): Uint8Array {
  return join(u32(HANDLE.password), sized(new Uint8Array()), u8(SESSION.continueSession), sized(auth));
}
