/**
 * Our table has a few dozen rules, and a plan as large as any has thirty times fewer bytes. A
 * longer listing is not of our table. Reading one of this size takes less than 32 MiB.
 */
export const LISTING_BYTES_MAX = 2_097_152;
/**
 * A transaction on one line. A table of the largest plan is shorter; line editors read a line
 * character by character, some with work for what came before.
 */
export const LINE_CHARACTERS_MAX = 65_536;
/**
 * nft takes milliseconds. On a machine that is out of memory or under attack it may take seconds.
 */
export const NFT_TIMEOUT_MS = 20_000;
/** Entries of the switch's directory. It holds two files for the moment of a re-arming. */
export const SWITCH_NAMES_MAX = 1000;
