// A device key in software, stored so that only this TPM opens it: for a TPM that works where
// OpenSSL's provider does not, so that TLS cannot use a key inside the chip. [ID-46]
//
// The key is sealed to the chip and to nothing else. A password would have to lie beside the file,
// where whoever copies the one copies the other; and a policy over PCRs would lose the key with the
// next update of firmware or system. What it gives: a copied disk is useless without the chip.
import { createECDH, createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";
import { Fault } from "../../fault.ts";
import type { Chip } from "../../format/identity.ts";
import type { DeviceKey, DurableFiles } from "../../ports.ts";
import {
  create,
  NO_PASSWORD,
  readTss2Pem,
  sealTemplate,
  startSession,
  type Tpm,
  type Tss2Key,
  unseal,
  writeTss2Pem,
} from "../tpm/index.ts";
import { KeyChip, type KeyChipOptions } from "./chip.ts";
import { chipWith } from "./chip-names.ts";
import { KEY_BYTES_MAX } from "./file.ts";
import { parentForMaking, underParent } from "./parent.ts";
import { publicHalf } from "./public.ts";
import type { ChipKeyStore, Obstacle } from "./stores.ts";

const KEY_FILE = "device-key.sealed.pem";
const WHAT = `the device key "${KEY_FILE}"`;

/**
 * PrivateKeyInfo (RFC 5208) of P-256 up to its 32 bytes: version 0, id-ecPublicKey, secp256r1, and
 * an ECPrivateKey (RFC 5915) without the optional parts. A TPM seals at most 128 bytes, and with
 * the public key it would be 138.
 */
const PKCS8_PREFIX = Buffer.from("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420", "hex");
const SCALAR_BYTES = 32;

export interface SealedKeyStoreOptions extends KeyChipOptions {
  readonly files: DurableFiles;
}

/**
 * A PKCS#8 key that TPM2_Unseal gives back, as TSS2 file of a sealed key in `files`. It is unsealed
 * once for each load and then lies in OpenSSL's memory; our own copies are overwritten.
 */
export function createSealedKeyStore(options: SealedKeyStoreOptions): ChipKeyStore {
  return new SealedKeyStore(options);
}

class SealedKeyStore implements ChipKeyStore {
  readonly protection = "sealed";
  readonly #files: DurableFiles;
  readonly #chip: KeyChip;

  constructor({ files, ...rest }: SealedKeyStoreOptions) {
    this.#files = files;
    this.#chip = new KeyChip(rest);
  }

  obstacle(): Promise<Obstacle | undefined> {
    return this.#chip.obstacle((tpm) => this.#sealed(tpm, new Uint8Array(SCALAR_BYTES)));
  }

  async unavailable(): Promise<string | undefined> {
    return (await this.obstacle())?.reason;
  }

  stranger(born: Chip | undefined): Promise<Fault | undefined> {
    return this.#chip.stranger(born);
  }

  async load(born?: Chip): Promise<DeviceKey | undefined> {
    const bytes = await this.#files.get(KEY_FILE, KEY_BYTES_MAX, "private");
    if (bytes === undefined) return undefined;
    const blob = blobIn(Buffer.from(bytes).toString("utf8"));
    try {
      return await this.#chip.use((tpm) => opened(tpm, blob));
    } catch (error) {
      throw await this.#chip.faultOf(`load ${WHAT}`, error, born, blob.parent);
    }
  }

  async create(): Promise<DeviceKey> {
    // A start may have been cut after the key was written: never make a second key. [ID-6]
    const existing = await this.load();
    if (existing !== undefined) return existing;
    const secret = newSecret();
    try {
      // Opened before it is written: only a key that this TPM gives back is stored.
      const { blob, key } = await this.#chip.use(async (tpm) => {
        const blob = await this.#sealed(tpm, secret);
        return { blob, key: await opened(tpm, blob) };
      });
      await this.#files.put(KEY_FILE, Buffer.from(writeTss2Pem(blob, "sealed")));
      return key;
    } catch (error) {
      throw this.#chip.creationFault(WHAT, error);
    } finally {
      secret.fill(0);
    }
  }

  remove(): Promise<void> {
    return this.#files.remove(KEY_FILE);
  }

  async #sealed(tpm: Tpm, data: Uint8Array): Promise<Tss2Key> {
    await using parent = await parentForMaking(tpm, this.#chip.parent, "sealing");
    await using cover = await startSession(tpm, "hmac", parent);
    const blob = await create(tpm, parent, sealTemplate(), { data, cover });
    return { ...blob, parent: parent.written, hasNoPassword: true };
  }
}

/** Unseals the key, so that the bytes are encrypted on the way, and takes it into a KeyObject. */
async function opened(tpm: Tpm, blob: Tss2Key): Promise<DeviceKey> {
  const { key, name } = await underParent(tpm, blob, async (item, parent) => {
    await using cover = await startSession(tpm, "hmac", parent);
    const secret = await unseal(tpm, item, NO_PASSWORD, cover);
    try {
      return { key: privateKeyOf(secret), name: parent.name };
    } finally {
      secret.fill(0);
    }
  });
  return {
    protection: "sealed",
    ...publicHalf(createPublicKey(key).export({ type: "spki", format: "pem" }), WHAT),
    chip: await chipWith(tpm, name),
    sign: async (data) => new Uint8Array(sign("sha256", data, { key, dsaEncoding: "der" })),
    // The string cannot be overwritten; it is made for each use, so that none is kept here.
    tlsKey: () => key.export({ type: "pkcs8", format: "pem" }),
  };
}

/** By ECDH's generator, because it gives bytes that can be overwritten, and no string. */
function newSecret(): Buffer {
  const generator = createECDH("prime256v1");
  generator.generateKeys();
  const scalar = generator.getPrivateKey();
  const zeros = new Uint8Array(SCALAR_BYTES - scalar.length);
  const secret = Buffer.concat([PKCS8_PREFIX, zeros, scalar]);
  scalar.fill(0);
  return secret;
}

/** @throws Fault `key.mismatch`. What OpenSSL says about a damaged key belongs in no log. */
function privateKeyOf(secret: Uint8Array): KeyObject {
  try {
    return createPrivateKey({ key: Buffer.from(secret.buffer, secret.byteOffset, secret.length), format: "der", type: "pkcs8" });
  } catch {
    throw new Fault("key.mismatch", `load ${WHAT}: what the TPM gives back is no private key; put the file of this device back`);
  }
}

/** @throws Fault `key.mismatch` when it is no sealed key in this form. */
function blobIn(pem: string): Tss2Key {
  try {
    return readTss2Pem(pem, "sealed");
  } catch (error) {
    if (!(error instanceof Fault) || !error.code.startsWith("tpm.")) throw error;
    throw new Fault("key.mismatch", `load ${WHAT}: it is no sealed key (${error.message}); put the file of this device back`);
  }
}
