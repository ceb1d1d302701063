// Bounds of the device certificate's life.

/** A certificate with its intermediates as PEM. */
export const CERTIFICATE_FILE_BYTES_MAX = 65_536;
/** Authorities between the certificate and the pin. */
export const INTERMEDIATES_MAX = 3;
/** An authority's clock may be this much ahead of ours. */
export const CLOCK_SKEW_MS = 300_000;

/** [ID-9] Share of the lifetime after which renewal starts. */
export const RENEW_AT_LIFETIME_RATIO = 0.8;
/** Renewals of a fleet that was enrolled in one hour are spread over this share of the lifetime. */
export const RENEW_SPREAD_RATIO = 0.04;
/** After a failed renewal the next try waits up to this share of the lifetime: five tries and more before the end. */
export const RETRY_LIFETIME_RATIO = 0.04;
export const RETRY_MS_MIN = 1000;
export const RETRY_MS_MAX = 6 * 3_600_000;
