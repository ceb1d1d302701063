// The stores of the device key: the one in a file, and the choice between it and the TPM.
export {
  type ChosenStore,
  chooseKeyStore,
  type KeyStoreDecision,
  decideKeyStore,
  type FoundKeyStores,
  type WantedStore,
} from "./choose.ts";
export { createFileKeyStore, KEY_BYTES_MAX } from "./file.ts";
export { type PublicHalf, publicHalf } from "./public.ts";
