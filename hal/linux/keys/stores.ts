// What the stores of keys that a TPM protects have in common.
import type { Fault } from "../../fault.ts";
import type { Chip } from "../../format/identity.ts";
import type { KeyStore } from "../../ports.ts";

/** A store whose keys are of use with one TPM only. */
export interface ChipKeyStore extends KeyStore {
  /**
   * Why this TPM cannot have the key of a device that was born in `born`.
   * @returns Fault `key.tpm-missing`, `key.not-this-board`, `key.tpm-cleared` or
   *   `key.tpm-unavailable`; undefined when it is that TPM, or nothing is known of that one.
   */
  stranger(born: Chip | undefined): Promise<Fault | undefined>;
}
