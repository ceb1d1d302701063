// Expiry of signatures, and bounds of what is read. Expiry only stops devices from accepting
// anything new; a device that is offline keeps what it has. [OTA-7]

/** Root, targets and delegated roles are signed manually, with keys from a safe. */
export const OFFLINE_EXPIRY_DAYS = 730;
export const ROOT_EXPIRY_DAYS = 1_825;
/**
 * Snapshot and timestamp limit how long a mirror can withhold a release. Sign them again in time.
 */
export const ONLINE_EXPIRY_DAYS = 90;

export const METADATA_BYTES_MAX = 2_097_152;
/** A target that is one file: it is hashed, copied and served as a whole. */
export const TARGET_BYTES_MAX = 4_294_967_296;
export const KEY_BYTES_MAX = 16_384;
export const ROOTS_MAX = 1_024;
/** Keys of a role, as many as a device reads. [OTA-9] */
export const ROLE_KEYS_MAX = 64;
/** Drafted changes of keys: of each role as many as it may have. */
export const KEY_CHANGES_BYTES_MAX = 262_144;
/** How far the clocks of two machines may differ on which one draft is signed. */
export const SIGNING_CLOCK_MS_MAX = 86_400_000;
/** `sign --renew` renews what expires within this time. */
export const RENEW_AHEAD_DAYS = 30;
