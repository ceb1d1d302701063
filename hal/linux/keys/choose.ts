// Which store holds the device key. [ID-4] [ID-6]
import type { DeviceKey, KeyStore } from "../../ports.ts";
import { Fault, unreachable } from "../../fault.ts";
import { defined } from "../../format/defined.ts";
import type { Protection } from "../../format/identity.ts";

/** What the owner configured: "auto" takes the TPM where one is usable. */
export type WantedStore = "auto" | Protection;

/** What was found on the machine. */
export interface FoundKeyStores {
  readonly wanted: WantedStore;
  readonly tpmKeyExists: boolean;
  readonly fileKeyExists: boolean;
  /** Why the TPM can't be used, or undefined when it can. */
  readonly tpmUnavailable: string | undefined;
}

/** `note`, in words for an operator, says why it is not the store one would expect. */
export interface Decision {
  readonly protection: Protection;
  readonly note?: string;
}

/**
 * Pure. A key that exists wins, whatever is wanted: another store would mean another identity. Of two keys the wanted one counts, the TPM's when nothing
 * is said; the birth record then shows whether that is the one the device was born with.
 * @throws Fault `key.tpm-unavailable` when a TPM is asked for by name, no key exists, and there is none to use.
 */
export function decideKeyStore({ wanted, tpmKeyExists, fileKeyExists, tpmUnavailable }: FoundKeyStores): Decision {
  if (tpmKeyExists && fileKeyExists)
    return { protection: wanted === "file" ? "file" : "tpm", note: "a device key lies in the TPM and another in a file" };
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
  /** The key that was found, so that it need not be loaded twice; without it the store is to make one. */
  readonly key?: DeviceKey;
  readonly note?: string;
}

/**
 * Looks for keys first, and asks the TPM only when there is none. A key in the TPM that can't be loaded is a fault, never a reason to make another. [ID-6]
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
  const askTpm = !found.tpmKeyExists && !found.fileKeyExists && wanted !== "file";
  const { protection, note } = decideKeyStore({ ...found, tpmUnavailable: askTpm ? await tpm.unavailable() : undefined });
  const key = keys[protection];
  return { store: stores[protection], ...defined({ key, note }) };
}
