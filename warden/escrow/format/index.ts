// What others may read of the escrow: the owner's key, what is sealed for it, and the signed note
// that goes to the hub.
export { concatKdf, openSealed, sealedKeyId, sealFor } from "./jwe.ts";
export { type EscrowKey, keyIdOf, parseEscrowKey, parseEscrowPrivateKey, type PublicJwk, publicJwkOf } from "./key.ts";
export {
  CHIP_SECRETS_BYTES_MAX,
  ESCROW_KEY_BYTES_MAX,
  ESCROW_NOTE_BYTES_MAX,
  ESCROW_PRIVATE_KEY_BYTES_MAX,
  SEALED_BYTES_MAX,
} from "./limits.ts";
export {
  type EscrowNote,
  escrowNoteSchema,
  type EscrowState,
  escrowStateSchema,
  escrowNoteText,
  parseEscrowNote,
  verifyEscrowNote,
} from "./note.ts";
export { type ChipSecrets, encodeSecrets, openSecrets, parseSecrets, sealSecrets } from "./secrets.ts";
