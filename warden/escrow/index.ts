// The escrow of the TPM's passwords, and their way back to a device that has lost them.
export { type Escrow, ESCROW_FILE, openEscrow, type PasswordsInForce } from "./escrow.ts";
