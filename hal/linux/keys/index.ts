// The stores of the device key (in the TPM, sealed by it, in a file) and the choice between them.
export { type ChosenStore, chooseKeyStore, type KeyStores, type WantedStore } from "./choose.ts";
export { createFileKeyStore, KEY_BYTES_MAX } from "./file.ts";
export type { WantedParent } from "./parent.ts";
export { publicHalf } from "./public.ts";
export { createSealedKeyStore, type SealedKeyStoreOptions } from "./sealed.ts";
export type { ChipKeyStore } from "./stores.ts";
export { createTpmKeyStore, type TpmKeyStoreOptions } from "./tpm.ts";
