// The TPM as the stores of keys use it: opened for one piece of work, and its faults in words. The
// stores stand side by side on one chip. [ID-45] [ID-47]
import { Fault } from "../../fault.ts";
import type { Chip } from "../../format/identity.ts";
import { FIRST_HANDLE, type Tpm, useTpm } from "../tpm/index.ts";
import { strangerTo } from "./chip-names.ts";
import type { WantedParent } from "./parent.ts";
import { isAbsent, mayPass, reasonFor } from "./reasons.ts";
import type { Obstacle } from "./stores.ts";

/**
 * Bounds of one command. A slow chip takes a second or two to derive a primary key of P-256, which
 * is the longest that a key store asks for; a hung one never ends.
 */
const TIMEOUT_MS = 30_000;
const SLOW_TIMEOUT_MS = 60_000;

export interface KeyChipOptions {
  /** The way to the TPM, as openTpmAt reads it. */
  readonly tcti: string;
  readonly parent?: WantedParent;
  /** Bound of each command. */
  readonly timeoutMs?: number;
}

const REFUSED = "the TPM answers and refuses it";

export class KeyChip {
  readonly parent: WantedParent;
  readonly #tcti: string;
  readonly #bounds: { readonly timeoutMs: number; readonly slowTimeoutMs: number };

  constructor({ tcti, parent = "auto", timeoutMs }: KeyChipOptions) {
    this.#tcti = tcti;
    this.parent = parent;
    this.#bounds = { timeoutMs: timeoutMs ?? TIMEOUT_MS, slowTimeoutMs: timeoutMs ?? SLOW_TIMEOUT_MS };
  }

  /** @throws what `work` throws, and Fault `tpm.*`. */
  use<T>(work: (tpm: Tpm) => Promise<T>): Promise<T> {
    return useTpm(this.#tcti, work, this.#bounds);
  }

  /** Whether a key can be made, asked by making one. @returns why not. */
  async obstacle(make: (tpm: Tpm) => Promise<unknown>): Promise<Obstacle | undefined> {
    try {
      await this.use(make);
      return undefined;
    } catch (error) {
      return { reason: this.reason(error), mayPass: mayPass(error) };
    }
  }

  /** Why no key can be made. @throws `error` itself when it is not the TPM's. */
  reason(error: unknown): string {
    if (!(error instanceof Fault) || !error.code.startsWith("tpm.")) throw error;
    return reasonFor(error, this.#tcti, "none");
  }

  /** For a key that was to be made. @returns Fault `key.create-failed`, or a defect as it is. */
  creationFault(what: string, error: unknown): unknown {
    if (!(error instanceof Fault)) return error;
    const reason = error.code.startsWith("tpm.") ? this.reason(error) : error.message;
    return new Fault("key.create-failed", `make ${what}: ${reason}`, { cause: error });
  }

  /**
   * What a fault of the TPM means for a key that exists.
   * @param action with its object: `load the device key "..."`.
   * @param born the chip that the key was born in, as the birth record has it.
   * @param written the parent that the key's file names.
   */
  async faultOf(action: string, error: unknown, born: Chip | undefined, written: number): Promise<unknown> {
    if (!(error instanceof Fault) || !error.code.startsWith("tpm.")) return error;
    const fault = await this.#judged(error, born, written);
    return new Fault(fault.code, `${action}: ${fault.message}`, { cause: error });
  }

  /**
   * Why this TPM cannot have the key of a device that was born in `born`: there is none, it is
   * another or was cleared, or it does not say.
   * @returns undefined when it is that TPM.
   */
  async stranger(born: Chip | undefined, written?: number): Promise<Fault | undefined> {
    const named = typeof this.parent === "number" ? [this.parent, written] : [written];
    const handles = named.filter((handle) => handle !== undefined).filter((handle) => handle >= FIRST_HANDLE.persistent);
    try {
      return await this.use(async (tpm) => (born === undefined ? undefined : await strangerTo(born, tpm, handles)));
    } catch (error) {
      if (!(error instanceof Fault) || !error.code.startsWith("tpm.")) throw error;
      return this.#passing(error);
    }
  }

  async #judged(error: Fault, born: Chip | undefined, written: number): Promise<Fault> {
    if (error.code !== "tpm.not-ours") return this.#passing(error);
    const stranger = born === undefined ? undefined : await this.stranger(born, written);
    if (stranger !== undefined) return stranger;
    const why =
      born === undefined
        ? "it was cleared, or this is another TPM, or the file is damaged; put back what belongs to this device"
        : "it is the TPM that the device was born with, so the file is damaged; put the device's own file back";
    return new Fault("key.mismatch", `${REFUSED}: ${why}`);
  }

  /** Of a TPM that does not answer, or not now. */
  #passing(error: Fault): Fault {
    const reason = reasonFor(error, this.#tcti, "made");
    return isAbsent(error) ? new Fault("key.tpm-missing", `TPM missing: ${reason}`) : new Fault("key.tpm-unavailable", reason);
  }
}
