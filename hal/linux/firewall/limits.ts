/** Our table has a few dozen rules; a listing longer than this is no table of ours. */
export const LISTING_BYTES_MAX = 4_194_304;
/** nft takes milliseconds; a machine that is out of memory or under attack may take seconds. */
export const NFT_TIMEOUT_MS = 20_000;
