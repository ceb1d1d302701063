/** A P-256 key is 241 bytes as PKCS#8 PEM and about 400 as TSS2 PEM; what is larger is no key of ours. */
export const KEY_BYTES_MAX = 4096;
