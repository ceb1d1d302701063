// The audit key: created here, signs checkpoints, and never leaves the device. [AUD-7]
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { auditKeyName, checkpointOrigin, ed25519Raw, type Verifier, verifierOf } from "./format/index.ts";
import { AUDIT_KEY_BYTES_MAX } from "./limits.ts";

export interface AuditSigner {
  readonly verifier: Verifier;
  readonly privateKey: KeyObject;
}

/**
 * @returns the key of `epoch`; undefined when there is none, or when the file does not hold a key
 *   of ours.
 * @throws Fault of {@link DurableFiles.get}.
 */
export async function loadAuditKey(state: DurableFiles, epoch: number, deviceId: string): Promise<AuditSigner | undefined> {
  const bytes = await state.get(auditKeyName(epoch), AUDIT_KEY_BYTES_MAX);
  const privateKey = bytes === undefined ? undefined : parseKey(bytes);
  return privateKey === undefined ? undefined : signerOf(privateKey, deviceId);
}

/**
 * Creates the key of `epoch` durably. A file under its name that does not hold a key is copied to
 * `{name}.rejected` first.
 */
export async function createAuditKey(state: DurableFiles, epoch: number, deviceId: string): Promise<AuditSigner> {
  const name = auditKeyName(epoch);
  const unreadable = await state.get(name, AUDIT_KEY_BYTES_MAX);
  if (unreadable !== undefined) await state.put(`${name}.rejected`, unreadable);
  const { privateKey } = generateKeyPairSync("ed25519");
  try {
    await state.put(name, Buffer.from(privateKey.export({ format: "pem", type: "pkcs8" })));
  } catch (error) {
    // [STA-50] it signs nothing but the empty log, and is another one at the next start
    if (!(error instanceof Fault && error.code === "file.read-only")) throw error;
  }
  return signerOf(privateKey, deviceId);
}

function signerOf(privateKey: KeyObject, deviceId: string): AuditSigner {
  const publicKey = ed25519Raw(createPublicKey(privateKey));
  return { privateKey, verifier: verifierOf(checkpointOrigin(deviceId), "ed25519", publicKey) };
}

/**
 * A file that OpenSSL cannot read is a lost key, for any reason: the log that it signed is closed,
 * and a new log begins with a new key.
 */
function parseKey(pem: Uint8Array): KeyObject | undefined {
  try {
    const key = createPrivateKey(Buffer.from(pem));
    return key.asymmetricKeyType === "ed25519" ? key : undefined;
  } catch {
    return undefined;
  }
}
