// What a TPM shows of itself without any password: the Names by which one chip is told from
// another.

/** Names are in hex, as in birth records. (TPM 2.0 Part 1, Names) */
export interface ChipReading {
  /**
   * Names of its persistent keys, and of the storage root that it derives where nobody has set a
   * password of the owner.
   */
  readonly roots: readonly string[];
  /** Whether the storage root that it derives is among `roots`, so that no other can be. */
  readonly isComplete: boolean;
  /** Undefined where the chip lets nobody read or derive it without a password. */
  readonly endorsement: string | undefined;
}

export interface ChipReader {
  /** Where it looks, for messages. */
  readonly place: string;
  /**
   * @returns undefined when there is no chip at its place: no device file, nobody at the socket.
   * @throws Fault `tpm.*` while the chip does not tell: it is there, and what it is is not known.
   */
  read(): Promise<ChipReading | undefined>;
}
