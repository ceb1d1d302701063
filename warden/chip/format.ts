// The state of the TPM as the warden reports it.
import * as v from "valibot";
import { tpmNameSchema } from "../../hal/format/identity.ts";

export const tpmStateSchema = v.strictObject({
  present: v.boolean(),
  /** Whose passwords it has: the warden's, another program's, nobody's. */
  ownership: v.picklist(["ours", "others", "nobody", "unknown"]),
  /** Whether somebody may clear it by its lockout password. */
  clear: v.picklist(["forbidden", "possible"]),
  /** Too many wrong passwords were tried. The device's key is not locked by that. [ID-40] */
  lockedOut: v.boolean(),
  /** The hub keeps its passwords, sealed to the owner. */
  escrowed: v.boolean(),
  /** Names of the two keys by which one chip is told from another. */
  endorsement: v.optional(tpmNameSchema),
  storage: v.optional(tpmNameSchema),
});
export type TpmState = v.InferOutput<typeof tpmStateSchema>;
