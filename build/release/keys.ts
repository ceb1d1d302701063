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
  const pem = await getFile(path, KEY_BYTES_MAX);
  if (pem === undefined)
    throw new Fault(
      "release.key-unusable",
      `sign "${role}": there is no ${path}; put the key there for signing, and remove it afterwards`,
    );
  await expectPrivate(path, `sign "${role}"`);
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
