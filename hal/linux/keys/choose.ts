// The choice of the store that holds the device key. [ID-4] [ID-6]
import type { DeviceKey, KeyStore } from "../../ports.ts";
import { Fault, unreachable } from "../../fault.ts";
import { defined } from "../../format/defined.ts";
import type { Protection } from "../../format/identity.ts";

/** What the owner configured. "auto" takes the TPM when one is usable. */
export type WantedStore = "auto" | KeptIn;
type KeptIn = Exclude<Protection, "sealed">;

/** What was found on the machine. */
export interface FoundKeyStores {
  readonly wanted: WantedStore;
  readonly tpmKeyExists: boolean;
  readonly fileKeyExists: boolean;
  /** Why the TPM cannot be used; undefined when it can. */
  readonly tpmUnavailable: string | undefined;
}

/** `note`, for an operator, says why the store is not the one that could be expected. */
export interface KeyStoreDecision {
  readonly protection: KeptIn;
  readonly note?: string;
}

/**
 * Pure. An existing key wins over the configuration, because another store would mean another
 * identity. Of two keys, the one in the configured store counts, and the TPM's for "auto". The
 * birth record then shows whether the device was born with that key.
 * @throws Fault `key.tpm-unavailable` when the TPM is configured by name, no key exists, and no TPM
 *   can be used.
 */
export function decideKeyStore({ wanted, tpmKeyExists, fileKeyExists, tpmUnavailable }: FoundKeyStores): KeyStoreDecision {
  if (tpmKeyExists && fileKeyExists)
    return { protection: wanted === "file" ? "file" : "tpm", note: "there is a device key in the TPM and another in a file" };
  if (tpmKeyExists)
    return wanted === "file"
      ? { protection: "tpm", note: "the device key was made in the TPM before, and stays there" }
      : { protection: "tpm" };
  if (fileKeyExists)
    return wanted === "file"
      ? { protection: "file" }
      : { protection: "file", note: "the device key was made in a file before, and stays there" };
  switch (wanted) {
    case "file":
      return { protection: "file" };
    case "auto":
      return tpmUnavailable === undefined
        ? { protection: "tpm" }
        : { protection: "file", note: `no TPM is used: ${tpmUnavailable}` };
    case "tpm":
      if (tpmUnavailable === undefined) return { protection: "tpm" };
      throw new Fault("key.tpm-unavailable", `make the device key in the TPM, as configured: ${tpmUnavailable}`);
    default:
      return unreachable(wanted);
  }
}

export interface ChosenStore {
  readonly store: KeyStore;
  /**
   * The key that was found, so that it need not be loaded twice. Without it, the store must make
   * one.
   */
  readonly key?: DeviceKey;
  readonly note?: string;
}

/**
 * Looks for keys first, and asks the TPM only when there is none. A key in the TPM that cannot be
 * loaded is a fault and never a reason to make another. [ID-6]
 * @throws Fault `key.tpm-unavailable`, `key.mismatch`, and those of the stores' files.
 */
export async function chooseKeyStore(stores: {
  readonly wanted: WantedStore;
  readonly tpm: KeyStore;
  readonly file: KeyStore;
}): Promise<ChosenStore> {
  const { wanted, tpm, file } = stores;
  const keys = { tpm: await tpm.load(), file: await file.load() };
  const found = { wanted, tpmKeyExists: keys.tpm !== undefined, fileKeyExists: keys.file !== undefined };
  const needsTpm = !found.tpmKeyExists && !found.fileKeyExists && wanted !== "file";
  const { protection, note } = decideKeyStore({ ...found, tpmUnavailable: needsTpm ? await tpm.unavailable() : undefined });
  const key = keys[protection];
  return { store: stores[protection], ...defined({ key, note }) };
}
