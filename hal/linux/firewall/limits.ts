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
/**
 * A monitor of the table that ends is started again after a pause, twice as long each time, unless
 * it ran for a while.
 */
export const MONITOR_PAUSE_MS_MIN = 1000;
export const MONITOR_PAUSE_MS_MAX = 300_000;
export const MONITOR_STEADY_MS = 60_000;
/**
 * Processes of ours that are recognized in notifications. There is one at a time. What a later
 * process of somebody else does under one of these numbers is found by comparing.
 */
export const OWN_PROCESSES_MAX = 8;
/** Entries of the switch's directory. It holds two files for the moment of a re-arming. */
export const SWITCH_NAMES_MAX = 1000;
