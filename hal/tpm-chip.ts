// The port of a TPM as its owner uses it, in a file of its own for its length.

/** Whose passwords a TPM keeps; the storage hierarchy belongs to the `owner`. */
export type ChipHierarchy = "owner" | "endorsement" | "lockout";

/** The auth values as they are set at the moment; without bytes where none is set. */
export type ChipAuths = Readonly<Record<ChipHierarchy | "counter", Uint8Array>>;

/** What bounds wrong tries of protected objects. (TPM 2.0 Part 3, clause 25.3) */
export interface TryLimits {
  /** Wrong tries after which protected objects are locked. */
  readonly tries: number;
  /** Seconds after which one wrong try is forgotten. */
  readonly recoveryS: number;
  /** Seconds for which a wrong lockout password locks the lockout hierarchy; 0: until a restart. */
  readonly lockoutRecoveryS: number;
}

/** What can be asked often: it costs two short commands. */
export interface ChipPulse {
  /** Whether a password is set. */
  readonly passwords: Readonly<Record<ChipHierarchy, boolean>>;
  readonly isClearForbidden: boolean;
  readonly isLockedOut: boolean;
  /** Wrong tries that are not forgotten yet. */
  readonly failures: number;
  readonly limits: TryLimits;
}

/** A key under a persistent handle. */
export interface KeptChipKey {
  /** Its Name in hex; undefined for a key of a kind that cannot be read. */
  readonly name: string | undefined;
  /** Whether it can serve there: a storage root of P-256, or an endorsement key of template L-2. */
  readonly isFit: boolean;
}

export interface ChipView extends ChipPulse {
  /** What lies at 0x81000001. */
  readonly storage: KeptChipKey | undefined;
  /** What lies at 0x81010001. */
  readonly endorsement: KeptChipKey | undefined;
  /** The counter's index; `other` when it was not made as {@link TpmChip.defineCounter} does. */
  readonly counter: "fit" | "other" | undefined;
}

/** What TPM2_MakeCredential gives. */
export interface ChipCredential {
  readonly credential: Uint8Array;
  readonly secret: Uint8Array;
}

/**
 * One TPM as its owner uses it. Each call opens the way to it, does one piece of work and closes
 * it, so that other programs get their turn. Secrets travel encrypted only, in sessions salted to
 * the storage root. Calls must not overlap.
 *
 * Each call throws Fault `tpm.*`: `tpm.unreachable`, `tpm.timeout` after a bounded time;
 * `tpm.auth-failed` for a password that is not the chip's; `tpm.locked-out`.
 */
export interface TpmChip {
  /** `expected`: the firmware tells of a TPM, and the kernel has no device for it yet. */
  presence(): Promise<"present" | "expected" | "absent">;
  pulse(): Promise<ChipPulse>;
  look(): Promise<ChipView>;
  random(bytes: number): Promise<Uint8Array>;
  /**
   * Tries one password, and changes nothing. A wrong one of the lockout hierarchy locks that
   * hierarchy; a wrong one of the others costs nothing. (TPM 2.0 Part 1, Dictionary attack)
   * @returns whether it is the chip's.
   */
  proves(what: ChipHierarchy | "counter", auths: ChipAuths): Promise<boolean>;
  /**
   * Makes the standard storage root persistent, unless a key lies there already.
   * @returns the Name of what lies there then, and that of the standard key.
   */
  keepStorageRoot(auths: ChipAuths): Promise<{ readonly name: string; readonly standard: string }>;
  /**
   * Derives the endorsement key and makes it persistent where its handle is free and the chip has
   * room.
   * @returns its Name.
   */
  keepEndorsementKey(auths: ChipAuths): Promise<string>;
  /** Defines the index of the counter with the password `auths.counter`. */
  defineCounter(auths: ChipAuths): Promise<void>;
  undefineCounter(auths: ChipAuths): Promise<void>;
  limitTries(limits: TryLimits, auths: ChipAuths): Promise<void>;
  /** Forbids TPM2_Clear by the lockout password. */
  forbidClear(auths: ChipAuths): Promise<void>;
  /**
   * Allows TPM2_Clear again where the firmware left the platform hierarchy open.
   * @returns whether it is allowed then.
   */
  allowClear(): Promise<boolean>;
  /** @param password without bytes to remove it. */
  setPassword(of: ChipHierarchy, password: Uint8Array, auths: ChipAuths): Promise<void>;
  /** Removes a persistent key. */
  evict(what: "storage" | "endorsement", auths: ChipAuths): Promise<void>;
  /**
   * TPM2_ActivateCredential: opens what was encrypted to the endorsement key for an attestation key
   * of the storage root. (Part 3, clause 12.5)
   * @param keyPem the attestation key, without a password, as TSS2 PEM.
   */
  activate(keyPem: string, credential: ChipCredential, auths: ChipAuths): Promise<Uint8Array>;
}
