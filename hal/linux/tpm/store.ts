// The device key in the TPM, by OpenSSL's tpm2 provider. [ID-4]
//
// The parent is the primary key of the owner hierarchy that the provider derives for each load and flushes again (its template is fixed, so the TPM derives the
// same one every time), not a persistent storage root at 0x81000001: nothing then has to be provisioned first, with tools the device may not have, no
// persistent slot is taken that systemd or the owner uses, and the blob alone is enough to have the key back. It costs the derivation at each load, and it
// needs the owner hierarchy's default, an empty authorisation. Clearing the TPM makes a new seed, and with that the blob useless: that is what a reset is for.
import type { DeviceKey, DurableFiles, KeyStore } from "../../ports.ts";
import { Fault } from "../../fault.ts";
import { KEY_BYTES_MAX, publicHalf } from "../keys/index.ts";
import { tpmCommands } from "./openssl.ts";
import { whyUnavailable } from "./probe.ts";
import type { TpmProvider } from "./provider.ts";

const KEY_FILE = "device-key.tss2.pem";
const WHAT = `the device key "${KEY_FILE}"`;

/** The first line of draft-bottomley-tpm2-keys' PEM. Anything else means that a software key was written. */
const TSS2_BEGIN = "-----BEGIN TSS2 PRIVATE KEY-----\n";

const REFUSED =
  "the TPM answers and refuses it: it was cleared, or this is another TPM, or the file is damaged; put the TPM back, or reset the device to make a new identity";

export interface TpmKeyStoreOptions {
  readonly files: DurableFiles;
  readonly provider: TpmProvider;
  /** openssl 3: a bare name is looked up in the system's folders. */
  readonly openssl?: string;
  /** Bound of each openssl child. */
  readonly timeoutMs?: number;
}

/**
 * Keys as TSS2 PEM in `files`: the private part encrypted by the TPM that made it. Signs through openssl children; for TLS the process needs the provider
 * itself, see activateTpmProvider.
 */
export function tpmKeyStore({ files, provider, openssl = "openssl", timeoutMs }: TpmKeyStoreOptions): KeyStore {
  const commands = tpmCommands(provider, openssl, timeoutMs);
  const unavailable = (): Promise<string | undefined> => whyUnavailable(provider, openssl, commands);
  const noRoom = async (): Promise<string | undefined> => {
    try {
      await commands.generate(); // takes as many slots as loading a key; what it makes is forgotten
      return undefined;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return `the TPM answers but takes no key now, as when other programs fill its slots; the key is not lost, restart the device: ${error.message}`;
    }
  };
  // openssl has the same word, "unsupported", for a TPM that is gone, has no slot free, or is another; asking tells them apart. Only the last ends in "reset".
  const useFault = async (action: "load" | "sign with", error: unknown): Promise<unknown> => {
    if (!(error instanceof Fault) || !error.code.startsWith("process.")) return error;
    return new Fault("key.tpm-unavailable", `${action} ${WHAT}: ${(await unavailable()) ?? (await noRoom()) ?? REFUSED}`, {
      cause: error,
    });
  };
  // No KeyObject is made of it: some of Node's questions about a key in a TPM abort the process.
  const tpmKey = (pem: string, publicPem: string): DeviceKey => ({
    protection: "tpm",
    ...publicHalf(publicPem, WHAT),
    sign: async (data) => {
      try {
        return await commands.sign(pem, data);
      } catch (error) {
        throw await useFault("sign with", error);
      }
    },
    tlsKey: () => pem,
  });
  const load = async (): Promise<DeviceKey | undefined> => {
    const bytes = await files.get(KEY_FILE, KEY_BYTES_MAX);
    if (bytes === undefined) return undefined;
    const pem = Buffer.from(bytes).toString("utf8");
    if (!pem.startsWith(TSS2_BEGIN))
      throw new Fault("key.mismatch", `load ${WHAT}: it is no TSS2 key; restore it, or reset the device to make a new identity`);
    try {
      return tpmKey(pem, await commands.publicKey(pem));
    } catch (error) {
      throw await useFault("load", error);
    }
  };
  const create = async (): Promise<DeviceKey> => {
    const existing = await load(); // a start that was cut after the key was written: never a second one [ID-6]
    if (existing !== undefined) return existing;
    try {
      const pem = await commands.generate();
      if (!pem.startsWith(TSS2_BEGIN))
        throw new Fault("key.create-failed", "openssl made a key outside the TPM; it was not kept");
      const key = tpmKey(pem, await commands.publicKey(pem)); // before it is written: only a key that this TPM loads
      await files.put(KEY_FILE, Buffer.from(pem));
      return key;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      throw new Fault("key.create-failed", `make ${WHAT}: ${(await unavailable()) ?? error.message}`, { cause: error });
    }
  };
  return { protection: "tpm", unavailable, load, create };
}
