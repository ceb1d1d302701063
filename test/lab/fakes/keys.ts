// A device key in memory that signs like the keys of hal/linux.
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { DeviceKey } from "../../../hal/ports.ts";
import { keyFingerprint } from "../../../provisioning/x509/format/index.ts";

export interface MemoryKey extends DeviceKey {
  readonly privateKey: KeyObject;
  /** A property, not a method: it needs no `this` and can be passed on. */
  readonly sign: (data: Uint8Array) => Promise<Uint8Array>;
}

export function memoryKey(namedCurve = "P-256"): MemoryKey {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve });
  const spki = publicKey.export({ format: "der", type: "spki" });
  return {
    privateKey,
    protection: "file",
    publicKey: spki,
    fingerprint: keyFingerprint(spki),
    sign: async (data) => sign("sha256", data, privateKey),
    tlsKey: () => privateKey.export({ format: "pem", type: "pkcs8" }),
  };
}
