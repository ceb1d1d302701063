// The device key in the TPM, made, loaded and signed with by our own commands. OpenSSL's provider
// reads the same file for TLS. [ID-4] [ID-45]
//
// The parent of the key is the storage root at 0x81000001 where there is one, else the primary key
// of the owner hierarchy. Both are the same key when the root was made by the template that all of
// us use, so a key is re-parented from one to the other by a number in its file.
import { createHash } from "node:crypto";
import { Fault } from "../../fault.ts";
import type { Chip } from "../../format/identity.ts";
import type { DeviceKey, DurableFiles } from "../../ports.ts";
import { type TpmProvider, whyProviderUnusable } from "../tpm-provider/index.ts";
import {
  create,
  OBJECT,
  p1363,
  publicKeyObject,
  readTss2Pem,
  sign,
  SIGNING_TEMPLATE,
  type TpmEntity,
  type Tpm,
  type Tss2Key,
  writeTss2Pem,
} from "../tpm/index.ts";
import { KeyChip, type KeyChipOptions } from "./chip.ts";
import { chipWith } from "./chip-names.ts";
import { derSignature } from "./der-signature.ts";
import { KEY_BYTES_MAX } from "./file.ts";
import { parentForMaking, underParent } from "./parent.ts";
import { publicHalf } from "./public.ts";
import type { ChipKeyStore, Obstacle } from "./stores.ts";

const KEY_FILE = "device-key.tss2.pem";
const WHAT = `the device key "${KEY_FILE}"`;

export interface TpmKeyStoreOptions extends Omit<KeyChipOptions, "tcti"> {
  readonly files: DurableFiles;
  /** The way to the TPM, and what TLS needs to use the key. */
  readonly provider: TpmProvider;
  /** OpenSSL 3, which tells the provider's version. A bare name is one of the system's folders. */
  readonly openssl?: string;
}

/**
 * Keys as TSS2 PEM in `files`: the private part is encrypted by the TPM that made it. For TLS the
 * process itself needs the provider, see activateTpmProvider.
 */
export function createTpmKeyStore(options: TpmKeyStoreOptions): ChipKeyStore {
  return new TpmKeyStore(options);
}

class TpmKeyStore implements ChipKeyStore {
  readonly protection = "tpm";
  readonly #files: DurableFiles;
  readonly #provider: TpmProvider;
  readonly #openssl: string;
  readonly #chip: KeyChip;

  constructor({ files, provider, openssl = "openssl", ...rest }: TpmKeyStoreOptions) {
    this.#files = files;
    this.#provider = provider;
    this.#openssl = openssl;
    this.#chip = new KeyChip({ ...rest, tcti: provider.tcti });
  }

  /** The TPM is asked by making a key, which is dropped; the provider by its version. */
  async obstacle(): Promise<Obstacle | undefined> {
    const obstacle = await this.#chip.obstacle((tpm) => this.#made(tpm));
    if (obstacle !== undefined) return obstacle;
    const reason = await whyProviderUnusable(this.#provider, this.#openssl);
    return reason === undefined ? undefined : { reason, mayPass: false };
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
    const key = keyIn(Buffer.from(bytes).toString("utf8"));
    try {
      const { parent, chip } = await this.#chip.use((tpm) => tried(tpm, key));
      const found = { ...key, parent };
      if (parent !== key.parent) await this.#reparent(found);
      return this.#keyOf(found, chip);
    } catch (error) {
      throw await this.#chip.faultOf(`load ${WHAT}`, error, born, key.parent);
    }
  }

  async create(): Promise<DeviceKey> {
    // A start may have been cut after the key was written: never make a second key. [ID-6]
    const existing = await this.load();
    if (existing !== undefined) return existing;
    try {
      // Used before it is written: only a key that this TPM signs with is stored.
      const { key, chip } = await this.#chip.use(async (tpm) => {
        const key = await this.#made(tpm);
        return { key, chip: (await tried(tpm, key)).chip };
      });
      await this.#files.put(KEY_FILE, Buffer.from(writeTss2Pem(key)));
      return this.#keyOf(key, chip);
    } catch (error) {
      throw this.#chip.creationFault(WHAT, error);
    }
  }

  remove(): Promise<void> {
    return this.#files.remove(KEY_FILE);
  }

  /** The next start finds the way again where the file cannot be written now. */
  async #reparent(key: Tss2Key): Promise<void> {
    try {
      await this.#files.put(KEY_FILE, Buffer.from(writeTss2Pem(key)));
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
    }
  }

  async #made(tpm: Tpm): Promise<Tss2Key> {
    await using parent = await parentForMaking(tpm, this.#chip.parent, "tls");
    const blob = await create(tpm, parent, SIGNING_TEMPLATE);
    return { ...blob, parent: parent.written, hasNoPassword: true };
  }

  /** Makes no KeyObject: some of Node's questions about a key in a TPM abort the process. */
  #keyOf(key: Tss2Key, chip: Chip): DeviceKey {
    // Replaced when another program has moved the parent: TLS then finds the key there too.
    let current = key;
    return {
      protection: "tpm",
      ...publicHalf(publicKeyObject(key.area).export({ type: "spki", format: "pem" }), WHAT),
      chip,
      sign: async (data) => {
        const digest = createHash("sha256").update(data).digest();
        try {
          return await this.#chip.use((tpm) =>
            underParent(tpm, current, (item, { written }) => {
              current = { ...current, parent: written };
              return signed(tpm, item, digest);
            }),
          );
        } catch (error) {
          throw await this.#chip.faultOf(`sign with ${WHAT}`, error, chip, current.parent);
        }
      },
      tlsKey: () => writeTss2Pem(current),
    };
  }
}

/** Signs once: a lockout shows in the use of a key, and only in that of one without noDA. */
async function tried(tpm: Tpm, key: Tss2Key): Promise<{ readonly parent: number; readonly chip: Chip }> {
  const { parent, name } = await underParent(tpm, key, async (item, { written, name }) => {
    if ((item.area.attributes & OBJECT.noDa) === 0) await signed(tpm, item, createHash("sha256").digest());
    return { parent: written, name };
  });
  return { parent, chip: await chipWith(tpm, name) };
}

async function signed(tpm: Tpm, item: TpmEntity, digest: Uint8Array): Promise<Uint8Array> {
  return derSignature(p1363(await sign(tpm, item, digest)));
}

/** @throws Fault `key.mismatch` when it is no signing key of P-256 in this form. */
function keyIn(pem: string): Tss2Key {
  const damaged = (why: string): Fault => new Fault("key.mismatch", `load ${WHAT}: ${why}; put the file of this device back`);
  try {
    const key = readTss2Pem(pem);
    publicKeyObject(key.area);
    if ((key.area.attributes & OBJECT.sign) === 0) throw damaged("it is no key that signs");
    return key;
  } catch (error) {
    if (!(error instanceof Fault) || !error.code.startsWith("tpm.")) throw error;
    throw damaged(`it is not a TSS2 key that can be used (${error.message})`);
  }
}
