// TPM 2.0 through OpenSSL's tpm2 provider: keys that never leave the chip, for requests and for
// TLS.
export { activateTpmProvider, isStartedWith, isTpmProviderActive, restartWith } from "./activate.ts";
export { isNewEnough } from "./probe.ts";
export { systemTpmProvider, type TpmProvider } from "./provider.ts";
export { createTpmKeyStore, type TpmKeyStoreOptions } from "./store.ts";
