// The device key in the TPM, through OpenSSL's tpm2 provider. [ID-4]
//
// The parent of the key is the primary key of the owner hierarchy. The provider derives it for each
// load and flushes it again; its template is fixed, so the TPM derives the same key every time. A
// persistent storage root at 0x81000001 is not used: nothing has to be provisioned first, with
// tools the device may not have; no persistent slot is taken that systemd or the owner uses; and
// the blob alone is enough to get the key back. The price is the derivation at each load, and that
// the owner hierarchy must have its default, an empty authorisation. Clearing the TPM makes a new
// seed and leaves the blob useless, which is what a reset is for.
import { Fault } from "../../fault.ts";
import type { DeviceKey, DurableFiles, KeyStore } from "../../ports.ts";
import { KEY_BYTES_MAX, publicHalf } from "../keys/index.ts";
import { createTpmCommands, type TpmCommands } from "./openssl.ts";
import { whyUnavailable } from "./probe.ts";
import type { TpmProvider } from "./provider.ts";

const KEY_FILE = "device-key.tss2.pem";
const WHAT = `the device key "${KEY_FILE}"`;

/** The first line of draft-bottomley-tpm2-keys' PEM. Any other line means a software key. */
const TSS2_BEGIN = "-----BEGIN TSS2 PRIVATE KEY-----\n";

const REFUSED =
  "the TPM answers and refuses it: it was cleared, or this is another TPM, or the file is damaged; put back what belongs to this device";

export interface TpmKeyStoreOptions {
  readonly files: DurableFiles;
  readonly provider: TpmProvider;
  /** OpenSSL 3. A bare name is looked up in the system's folders. */
  readonly openssl?: string;
  /** Time limit of each openssl child. */
  readonly timeoutMs?: number;
}

/**
 * Keys as TSS2 PEM in `files`: the private part is encrypted by the TPM that made it. The store
 * signs through openssl children. For TLS the process itself needs the provider, see
 * activateTpmProvider.
 */
export function createTpmKeyStore(options: TpmKeyStoreOptions): KeyStore {
  return new TpmKeyStore(options);
}

class TpmKeyStore implements KeyStore {
  readonly protection = "tpm";
  readonly #files: DurableFiles;
  readonly #provider: TpmProvider;
  readonly #openssl: string;
  readonly #commands: TpmCommands;

  constructor({ files, provider, openssl = "openssl", timeoutMs }: TpmKeyStoreOptions) {
    this.#files = files;
    this.#provider = provider;
    this.#openssl = openssl;
    this.#commands = createTpmCommands(provider, openssl, timeoutMs);
  }

  unavailable(): Promise<string | undefined> {
    return whyUnavailable(this.#provider, this.#openssl, this.#commands);
  }

  async load(): Promise<DeviceKey | undefined> {
    const bytes = await this.#files.get(KEY_FILE, KEY_BYTES_MAX, "private");
    if (bytes === undefined) return undefined;
    const pem = Buffer.from(bytes).toString("utf8");
    if (!pem.startsWith(TSS2_BEGIN))
      throw new Fault("key.mismatch", `load ${WHAT}: it is not a TSS2 key; put the file of this device back`);
    try {
      return this.#keyOf(pem, await this.#commands.publicKey(pem));
    } catch (error) {
      throw await this.#faultOfUse("load", error);
    }
  }

  async create(): Promise<DeviceKey> {
    // A start may have been cut after the key was written: never make a second key. [ID-6]
    const existing = await this.load();
    if (existing !== undefined) return existing;
    try {
      const pem = await this.#commands.generate();
      if (!pem.startsWith(TSS2_BEGIN))
        throw new Fault("key.create-failed", "openssl made a key outside the TPM; it was not kept");
      // Loaded before it is written: only a key that this TPM accepts is stored.
      const key = this.#keyOf(pem, await this.#commands.publicKey(pem));
      await this.#files.put(KEY_FILE, Buffer.from(pem));
      return key;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      const reason = (await this.unavailable()) ?? error.message;
      throw new Fault("key.create-failed", `make ${WHAT}: ${reason}`, { cause: error });
    }
  }

  /** Makes no KeyObject: some of Node's questions about a key in a TPM abort the process. */
  #keyOf(pem: string, publicPem: string): DeviceKey {
    return {
      protection: "tpm",
      ...publicHalf(publicPem, WHAT),
      sign: async (data) => {
        try {
          return await this.#commands.sign(pem, data);
        } catch (error) {
          throw await this.#faultOfUse("sign with", error);
        }
      },
      tlsKey: () => pem,
    };
  }

  /**
   * openssl says "unsupported" for a TPM that is gone, for one that has no free slot, and for
   * another TPM. Asking the TPM tells them apart. Only in the last case is a reset the answer.
   */
  async #faultOfUse(action: "load" | "sign with", error: unknown): Promise<unknown> {
    if (!(error instanceof Fault) || !error.code.startsWith("process.")) return error;
    const reason = (await this.unavailable()) ?? (await this.#noFreeSlot()) ?? REFUSED;
    return new Fault("key.tpm-unavailable", `${action} ${WHAT}: ${reason}`, { cause: error });
  }

  async #noFreeSlot(): Promise<string | undefined> {
    try {
      // takes as many slots as loading a key; the new key is dropped
      await this.#commands.generate();
      return undefined;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return `the TPM answers but takes no key now, as when other programs fill its slots; the key is not lost, restart the device: ${error.message}`;
    }
  }
}
