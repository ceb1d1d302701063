// Bounds of the trust core. TUF leaves them to the application (5.3.3 W and Y, 5.4.1 X, 5.5.1 Y,
// 5.6.1 Z). [OTA-9]

/** A root of six ML-DSA-65 keys and five signatures has 54 kB (TAP 21, appendix). */
export const ROOT_BYTES_MAX = 262_144;
export const TIMESTAMP_BYTES_MAX = 32_768;
export const SNAPSHOT_BYTES_MAX = 131_072;
/** Targets and delegated roles. Audiences may name devices one by one. */
export const TARGETS_BYTES_MAX = 2_097_152;
/**
 * Roots followed in one refresh (5.3.3, Y). The next refresh follows further ones, from the last
 * that was stored.
 */
export const ROOTS_PER_REFRESH_MAX = 256;
/** Roles visited in a search, including targets (5.6.7.1). */
export const ROLES_VISITED_MAX = 32;
/**
 * How far a signing date may lie ahead of the device's clock: the clocks of two machines differ,
 * and time zones are confused.
 */
export const SIGNED_AHEAD_MS_MAX = 86_400_000;
