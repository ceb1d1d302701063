// Operators' keys: PKCS#8 files of mode 0600, never overwritten. The hub stores none of them:
// anyone who holds the file can give orders.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { rm } from "node:fs/promises";
import { asFault, Fault } from "../../hal/fault.ts";
import { whyNotPrivate } from "../../hal/format/key-file.ts";
import { createDurably, errnoOf } from "../../hal/linux/files/index.ts";
import { orderKey, orderKeyId } from "../../warden/orders/format/index.ts";

export interface OrderKey {
  readonly privateKey: KeyObject;
  /** SHA-256 of the public key, 64 hex digits, by which rosters and policies refer to it. */
  readonly keyid: string;
  /** DER SubjectPublicKeyInfo in base64, for a roster or a policy. */
  readonly publicKey: string;
}

const KEY_BYTES_MAX = 16_384;

/**
 * A new Ed25519 key, and how to remove its file.
 * @throws Fault `file.write-failed`, also when `path` exists already.
 */
export async function makeKey(path: string): Promise<OrderKey & { readonly remove: () => Promise<void> }> {
  const { privateKey } = generateKeyPairSync("ed25519");
  try {
    await createDurably(path, Buffer.from(privateKey.export({ format: "pem", type: "pkcs8" })), { mode: 0o600 });
  } catch (error) {
    const exists = error instanceof Fault && errnoOf(error.cause) === "EEXIST";
    const why = exists
      ? "the file exists, and a key is never overwritten; choose another name"
      : asFault(error, "file.write-failed", "write it").message;
    throw new Fault("file.write-failed", `make a key "${path}": ${why}`, { cause: error });
  }
  return { ...describeKey(privateKey), remove: () => rm(path) };
}

/**
 * @throws Fault `hub.key-unusable` for a missing file, one that others may read, or a key of a kind
 *   that orders do not accept.
 */
export function readKey(path: string): OrderKey {
  try {
    const key = describeKey(createPrivateKey(readPrivate(path)));
    if (orderKey(key.publicKey) !== undefined) return key;
  } catch (error) {
    throw asFault(error, "hub.key-unusable", `read the key "${path}"; expected an unencrypted private key in PEM`);
  }
  throw new Fault(
    "hub.key-unusable",
    `read the key "${path}": expected an Ed25519 or ECDSA P-256 key; make one with sallyport-hub keygen FILE`,
  );
}

function readPrivate(path: string): Buffer {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const facts = fstatSync(file);
    const { mode, size, uid } = facts;
    if (!facts.isFile()) throw new Fault("hub.key-unusable", `read the key "${path}": it is not a regular file`);
    const why = whyNotPrivate({ mode, uid }, path, process.geteuid?.());
    if (why !== undefined) throw new Fault("hub.key-unusable", `read the key "${path}": ${why}`);
    if (size > KEY_BYTES_MAX)
      throw new Fault("hub.key-unusable", `read the key "${path}": it has ${size} bytes, which is more than a key has`);
    const bytes = Buffer.alloc(size);
    return bytes.subarray(0, readSync(file, bytes, 0, size, 0));
  } finally {
    closeSync(file);
  }
}

function describeKey(privateKey: KeyObject): OrderKey {
  const publicKey = createPublicKey(privateKey);
  return {
    privateKey,
    keyid: orderKeyId(publicKey),
    publicKey: publicKey.export({ format: "der", type: "spki" }).toString("base64"),
  };
}
