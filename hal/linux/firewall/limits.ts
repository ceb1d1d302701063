/**
 * Our table has a few dozen rules, and a plan as large as any has thirty times fewer bytes. A
 * longer listing is not of our table. Reading one of this size takes less than 32 MiB.
 */
export const LISTING_BYTES_MAX = 2_097_152;
/**
 * nft takes milliseconds. On a machine that is out of memory or under attack it may take seconds.
 */
export const NFT_TIMEOUT_MS = 20_000;
