// Operators' keys: PKCS#8 files of mode 0600. Made once, never overwritten. The hub keeps none: whoever holds the file gives orders.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { closeSync, fstatSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { asFault, Fault } from "../../hal/fault.ts";
import { whyNotPrivate } from "../../hal/format/key-file.ts";
import { orderKey, orderKeyId } from "../../warden/orders/format/index.ts";

export interface OrderKey {
  readonly privateKey: KeyObject;
  /** SHA-256 of the public half, 64 hex digits: what rosters' keys and policies' confirm keys are known by. */
  readonly keyid: string;
  /** DER SubjectPublicKeyInfo in base64: what goes into a roster or a policy. */
  readonly publicKey: string;
}

const KEY_BYTES_MAX = 16_384;

/** A new Ed25519 key. @throws Fault `file.write-failed`, also when there is a file already. */
export function makeKey(path: string): OrderKey {
  const { privateKey } = generateKeyPairSync("ed25519");
  try {
    const file = openSync(path, "wx", 0o600);
    try {
      writeSync(file, privateKey.export({ format: "pem", type: "pkcs8" }));
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    const there = error instanceof Error && "code" in error && error.code === "EEXIST";
    throw asFault(
      error,
      "file.write-failed",
      there
        ? `make a key "${path}": there is a file of that name, and no key is overwritten; choose another name`
        : `write a new key to "${path}"`,
    );
  }
  return described(privateKey);
}

/** @throws Fault `hub.key-unusable` for what is not there, may be read by others, or is no key that orders take. */
export function readKey(path: string): OrderKey {
  try {
    const key = described(createPrivateKey(readPrivate(path)));
    if (orderKey(key.publicKey) !== undefined) return key;
  } catch (error) {
    throw asFault(error, "hub.key-unusable", `read the key "${path}"; expected an unencrypted private key in PEM`);
  }
  throw new Fault(
    "hub.key-unusable",
    `read the key "${path}": expected an Ed25519 or ECDSA P-256 key; make one: sallyport-hub keygen FILE`,
  );
}

function readPrivate(path: string): Buffer {
  const file = openSync(path, "r");
  try {
    const { mode, size, uid } = fstatSync(file);
    const why = whyNotPrivate({ mode, uid }, path, process.geteuid?.());
    if (why !== undefined) throw new Fault("hub.key-unusable", `read the key "${path}": ${why}`);
    if (size > KEY_BYTES_MAX) throw new Fault("hub.key-unusable", `read the key "${path}": it has ${size} bytes, no key has`);
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}

function described(privateKey: KeyObject): OrderKey {
  const publicKey = createPublicKey(privateKey);
  return {
    privateKey,
    keyid: orderKeyId(publicKey),
    publicKey: publicKey.export({ format: "der", type: "spki" }).toString("base64"),
  };
}
