// What the stores of keys that a TPM protects have in common.
import type { Fault } from "../../fault.ts";
import type { Chip } from "../../format/identity.ts";
import type { KeyStore } from "../../ports.ts";

/** What keeps a store from making a key. */
export interface Obstacle {
  /** For an operator. */
  readonly reason: string;
  /** Whether it may be gone soon: the TPM is there, and only busy or in a trouble of the moment. */
  readonly mayPass: boolean;
}

/** A store whose keys are of use with one TPM only. */
export interface ChipKeyStore extends KeyStore {
  /** As {@link KeyStore.unavailable}, and whether waiting may help. */
  obstacle(): Promise<Obstacle | undefined>;
  /**
   * Why this TPM cannot have the key of a device that was born in `born`.
   * @returns Fault `key.tpm-missing`, `key.not-this-board`, `key.tpm-cleared` or
   *   `key.tpm-unavailable`; undefined when it is that TPM, or nothing is known of that one.
   */
  stranger(born: Chip | undefined): Promise<Fault | undefined>;
}
