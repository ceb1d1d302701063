// Bounds of what an authority may make us wait for, or keep.

/** A CMS of 16 certificates as base64 with line breaks is smaller than this. */
export const RESPONSE_BYTES_MAX = 131_072;
/** From the first octet sent to the last one received, including connection and handshake. */
export const EXCHANGE_TIMEOUT_MS = 30_000;

/** For a 202 without Retry-After, although RFC 7030 section 4.2.3 demands one. */
export const RETRY_AFTER_MS_DEFAULT = 60_000;

/** The part of an authority's own error text that is quoted. */
export const QUOTED_BYTES_MAX = 160;

/** An authority that moved its service needs one; two more are for what stands in front of it. */
export const REDIRECTS_MAX = 3;
