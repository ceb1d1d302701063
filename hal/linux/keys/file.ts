// The device key in a file, for machines without a usable TPM. [ID-4]
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { DeviceKey, DurableFiles, KeyStore } from "../../ports.ts";
import { asFault, Fault } from "../../fault.ts";
import { publicHalf } from "./public.ts";

/**
 * A P-256 key has 241 bytes as PKCS#8 PEM and about 400 as TSS2 PEM. Anything larger is no key of
 * ours.
 */
export const KEY_BYTES_MAX = 4096;

const KEY_FILE = "device-key.pem";
const WHAT = `the device key "${KEY_FILE}"`;

/**
 * Keys as PKCS#8 PEM (RFC 5958) in `files`, which must protect them from others: mode 0600 in a
 * directory of ours.
 */
export function createFileKeyStore({ files }: { readonly files: DurableFiles }): KeyStore {
  const load = async (): Promise<DeviceKey | undefined> => {
    const bytes = await files.get(KEY_FILE, KEY_BYTES_MAX, "private");
    return bytes === undefined ? undefined : fileKey(Buffer.from(bytes).toString("utf8"));
  };
  const create = async (): Promise<DeviceKey> => {
    // a start may have been cut after the key was written: never make a second one [ID-6]
    const existing = await load();
    if (existing !== undefined) return existing;
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    try {
      await files.put(KEY_FILE, Buffer.from(pem));
    } catch (error) {
      const why = asFault(error, "key.create-failed", "write it");
      throw new Fault("key.create-failed", `make ${WHAT}: ${why.message}`, { cause: error });
    }
    return fileKey(pem);
  };
  const remove = (): Promise<void> => files.remove(KEY_FILE);
  return { remove, protection: "file", unavailable: async () => undefined, load, create };
}

/** @throws Fault `key.mismatch` when `pem` is not a P-256 private key. */
function fileKey(pem: string): DeviceKey {
  const key = privateKeyOf(pem);
  const half = publicHalf(createPublicKey(key).export({ type: "spki", format: "pem" }), WHAT);
  return {
    protection: "file",
    ...half,
    sign: async (data) => new Uint8Array(sign("sha256", data, { key, dsaEncoding: "der" })),
    tlsKey: () => pem,
  };
}

function privateKeyOf(pem: string): KeyObject {
  try {
    return createPrivateKey({ key: pem, format: "pem" });
  } catch {
    // The cause is left out. What OpenSSL says about a damaged key helps nobody, and nothing read
    // from the key belongs in a log.
    throw new Fault("key.mismatch", `load ${WHAT}: it is damaged or not a private key; put the file of this device back`);
  }
}
