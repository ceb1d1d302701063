// What an authority may make us wait for, or hold.

/** A CMS of 16 certificates as base64 with line breaks stays below this. */
export const RESPONSE_BYTES_MAX = 131_072;
/** From the first octet sent to the last received, connection and handshake included. */
export const EXCHANGE_TIMEOUT_MS = 30_000;

export const RETRY_AFTER_MS_MIN = 1000;
export const RETRY_AFTER_MS_MAX = 3_600_000;
/** For a 202 that does not say: RFC 7030 section 4.2.3 demands that it does. */
export const RETRY_AFTER_MS_DEFAULT = 60_000;

/** Of an authority's own words, this much is quoted. */
export const QUOTED_BYTES_MAX = 160;
