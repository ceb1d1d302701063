/** One TPM command through openssl takes 10 ms on swtpm and up to a second or two on a slow chip that derives its primary key; a hung one never ends. */
export const OPENSSL_TIMEOUT_MS = 20_000;
export const OPENSSL_OUTPUT_BYTES_MAX = 16_384;
