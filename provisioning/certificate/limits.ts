// Bounds on the life of the device certificate.

/** A certificate with its intermediates as PEM. */
export const CERTIFICATE_FILE_BYTES_MAX = 65_536;
/** How far an authority's clock may be ahead of ours. */
export const CLOCK_SKEW_MS = 300_000;

/** [ID-9] Share of the lifetime after which renewal starts. */
export const RENEW_AT_LIFETIME_RATIO = 0.8;
/**
 * The renewals of a fleet that was enrolled within an hour are spread over this share of the
 * lifetime.
 */
export const RENEW_SPREAD_RATIO = 0.04;
/**
 * [ID-9] Share of the lifetime between two certificates at least: whatever goes wrong, a device has
 * no more than ten in the life of one.
 */
export const RENEW_GAP_RATIO = 0.1;
/** The record of when certificates were received. */
export const RECEIPTS_FILE_BYTES_MAX = 4096;
/** Receipts in it: of the current certificate, the next one, and two that were discarded. */
export const RECEIPTS_MAX = 4;
/**
 * After a failed renewal the next attempt comes within this share of the lifetime, which allows at
 * least five attempts before the end.
 */
export const RETRY_LIFETIME_RATIO = 0.04;
export const RETRY_MS_MIN = 1000;
export const RETRY_MS_MAX = 6 * 3_600_000;
