// OpenSSL's tpm2 provider, which TLS uses a key of the TPM with: Node takes no signing callback.
export { activateTpmProvider, isStartedWith, isTpmProviderActive, restartWith } from "./activate.ts";
export { isNewEnough, reasonIn, versionIn, whyProviderUnusable } from "./probe.ts";
export { opensslEnvironment, systemTpmProvider, type TpmProvider } from "./provider.ts";
