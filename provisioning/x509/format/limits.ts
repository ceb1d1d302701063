// Upper bounds of what is accepted from outside.

/**
 * A request of ours has about 600 bytes. One that openssl made with many names stays below this.
 */
export const REQUEST_BYTES_MAX = 8192;
export const REQUEST_URIS_MAX = 20;
export const REQUEST_URI_BYTES_MAX = 256;
/** X.520 upper bounds ub-common-name and ub-serial-number. */
export const NAME_CHARACTERS_MAX = 64;
/**
 * A C2SP verifier key of Ed25519 has about 100 characters. ota/format/anchors.ts has the same
 * bound.
 */
export const AUDIT_KEY_CHARACTERS_MAX = 256;

/** pkcs-9-ub-unstructuredName (RFC 2985, appendix A). Ours has at most 180. */
export const STATEMENT_CHARACTERS_MAX = 255;

/** A chain of a few certificates. A device has no use for more. */
export const CERTS_ONLY_BYTES_MAX = 65_536;
export const CERTS_ONLY_COUNT_MAX = 16;

/** Certificates and CMS nest about twelve levels deep. */
export const DER_DEPTH_MAX = 24;

/** ASN.1 values in one input, at every depth. A certificate has about 150. */
export const DER_VALUES_MAX = 4096;
/** What every input may hold, however small its bound is. */
export const DER_VALUES_MIN = 256;
/**
 * Bytes of an input's bound for each value that it may have. A request of 600 bytes has 40 values.
 */
export const DER_BYTES_PER_VALUE = 16;
