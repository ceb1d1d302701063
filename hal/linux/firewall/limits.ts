/** Our table has a few dozen rules. A longer listing is not of our table. */
export const LISTING_BYTES_MAX = 4_194_304;
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
