// Signing keys: PKCS#8 files of mode 0600. They are made once, never overwritten, and read only for
// the role that is signed.
import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { stat } from "node:fs/promises";
import { Fault } from "../../hal/fault.ts";
import { whyNotPrivate } from "../../hal/format/key-file.ts";
import { keyIdOf, type TufKey, tufKeyOf } from "../../ota/trust/format/index.ts";
import { getFile, putFile } from "./files.ts";
import { keyPath, type WorkshopLayout } from "./layout.ts";
import { KEY_BYTES_MAX } from "./limits.ts";

export interface ReleaseSigner {
  readonly id: string;
  readonly key: TufKey;
  readonly privateKey: KeyObject;
}

/**
 * The key of `role`, an Ed25519 key that is made when there is none: an interrupted init continues
 * with the keys that it made.
 * @throws Fault `release.key-unusable`, `release.store-failed`.
 */
export async function makeSigner(layout: WorkshopLayout, role: string): Promise<ReleaseSigner> {
  const path = keyPath(layout, role);
  if ((await getFile(path, KEY_BYTES_MAX)) === undefined) {
    const { privateKey } = generateKeyPairSync("ed25519");
    await putFile(path, Buffer.from(privateKey.export({ format: "pem", type: "pkcs8" })), { mode: 0o600 });
  }
  return await readSigner(layout, role);
}

/** @throws Fault `release.key-unusable`, `release.store-failed`. */
export async function readSigner(layout: WorkshopLayout, role: string): Promise<ReleaseSigner> {
  const path = keyPath(layout, role);
  const signer = await signerIn(path, `sign "${role}"`);
  if (signer !== undefined) return signer;
  throw new Fault(
    "release.key-unusable",
    `sign "${role}": there is no ${path}; put the key there for signing, and remove it afterwards, or name it with --key`,
  );
}

/** Where signatures come from. */
export interface KeySource {
  /**
   * @param keyids of the keys that may sign the role.
   * @param required false where others have signed already, so that no key may be at hand.
   * @throws Fault `release.key-unusable` when there is no key at all; `trust.bad-signature` when
   *   the key in the directory may not sign the role.
   */
  signersOf(role: string, keyids: readonly string[], required: boolean): Promise<readonly ReleaseSigner[]>;
}

/** For a look at what others have signed. */
export const NO_KEYS: KeySource = { signersOf: async () => [] };

/**
 * The keys at hand: those that were named, and those in the directory, which are read only for the
 * role that is signed.
 */
export class Keyring implements KeySource {
  readonly #layout: WorkshopLayout;
  readonly #named: readonly ReleaseSigner[];
  readonly #used = new Set<string>();

  private constructor(layout: WorkshopLayout, named: readonly ReleaseSigner[]) {
    this.#layout = layout;
    this.#named = named;
  }

  /** @throws Fault `release.key-unusable`, `release.store-failed`. */
  static async open(layout: WorkshopLayout, files: readonly string[]): Promise<Keyring> {
    const named: ReleaseSigner[] = [];
    for (const file of files) {
      const signer = await signerIn(file, "sign");
      if (signer === undefined) throw new Fault("release.key-unusable", `sign: there is no key "${file}"`);
      named.push(signer);
    }
    return new Keyring(layout, named);
  }

  async signersOf(role: string, keyids: readonly string[], required: boolean): Promise<readonly ReleaseSigner[]> {
    const path = keyPath(this.#layout, role);
    const own = await signerIn(path, `sign "${role}"`);
    const atHand = [...(own === undefined ? [] : [own]), ...this.#named];
    const able = atHand.filter(({ id }) => keyids.includes(id));
    for (const { id } of able) this.#used.add(id);
    if (able.length > 0 || !required || (own === undefined && this.#named.length > 0)) return able;
    if (own === undefined) return [await readSigner(this.#layout, role)];
    throw new Fault(
      "trust.bad-signature",
      `"${role}" is signed by 0 of the keys that may sign it: ${path} has the key id ${own.id}, expected ${keyids.join(" or ")}`,
    );
  }

  /** @throws Fault `release.key-unusable` for a named key that may sign nothing of what is due. */
  expectAllUsed(): void {
    const unused = this.#named.find(({ id }) => !this.#used.has(id));
    if (unused !== undefined)
      throw new Fault(
        "release.key-unusable",
        `sign with the key ${unused.id}: it may sign nothing that is due; sallyport-release keys DIR lists who may sign what`,
      );
  }
}

/**
 * A new Ed25519 key, in a file that must not exist yet.
 * @throws Fault `release.key-unusable`, `release.store-failed`.
 */
export async function makeKeyFile(path: string): Promise<{ readonly keyid: string; readonly publicKey: string }> {
  if ((await getFile(path, KEY_BYTES_MAX)) !== undefined)
    throw new Fault("release.key-unusable", `make a key "${path}": the file exists, and a key is never overwritten`);
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  await putFile(path, Buffer.from(privateKey.export({ format: "pem", type: "pkcs8" })), { mode: 0o600 });
  return {
    keyid: keyIdOf(tufKeyOf(privateKey)),
    publicKey: publicKey.export({ format: "der", type: "spki" }).toString("base64"),
  };
}

/** @returns undefined when there is no such file. */
async function signerIn(path: string, action: string): Promise<ReleaseSigner | undefined> {
  const pem = await getFile(path, KEY_BYTES_MAX);
  if (pem === undefined) return undefined;
  await expectPrivate(path, action);
  const privateKey = parseKey(pem, path);
  const key = tufKeyOf(privateKey);
  return { id: keyIdOf(key), key, privateKey };
}

/** @throws Fault `release.key-unusable` for a key that others may read. */
export async function expectPrivate(path: string, action: string): Promise<void> {
  const why = whyNotPrivate(await stat(path), path, process.geteuid?.());
  if (why !== undefined) throw new Fault("release.key-unusable", `${action} with ${path}: ${why}`);
}

/** @throws Fault `release.key-unusable`. */
export function parseKey(pem: Uint8Array, path: string): KeyObject {
  try {
    return createPrivateKey(Buffer.from(pem));
  } catch (error) {
    throw new Fault("release.key-unusable", `read ${path}: expected a private key in PEM without a passphrase`, { cause: error });
  }
}
