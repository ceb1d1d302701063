// The device key: made once, and found again at every later start. [ID-4] [ID-6]
import { Fault } from "../hal/fault.ts";
import type { BirthRecord } from "../hal/format/identity.ts";
import type { DeviceKey, KeyStore } from "../hal/ports.ts";

/** The store that holds a key or would make one, and the key that was found in it. */
export interface FoundKey {
  readonly store: Pick<KeyStore, "protection" | "create">;
  readonly key?: DeviceKey;
}

/**
 * The key of this machine's only identity. A crash after the key was made and before its birth was
 * recorded leaves a key that is found and used; no second one is made.
 * @param birth the record, or undefined when no identity was ever made.
 * @throws Fault `key.missing` when the recorded key is gone; `key.mismatch` when another key is in
 *   its place; `key.create-failed`.
 */
export async function settleKey(found: FoundKey, birth: BirthRecord | undefined): Promise<DeviceKey> {
  if (birth === undefined) return found.key ?? (await found.store.create());
  const recorded = `load the key recorded at birth (${birth.protection}, ${birth.keyFingerprint})`;
  // [STA-6] the one fault of a key that may need a new identity
  if (found.key === undefined)
    throw new Fault(
      "key.missing",
      `${recorded}: it is gone; put it back, and only if it is lost for good, the owner's reset makes a new identity`,
    );
  const { fingerprint, protection } = found.key;
  if (fingerprint !== birth.keyFingerprint || protection !== birth.protection)
    throw new Fault("key.mismatch", `${recorded}: found ${protection}, ${fingerprint}; put the recorded key back`);
  return found.key;
}
