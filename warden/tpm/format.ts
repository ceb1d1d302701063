// What the warden tells of the TPM: whose it is, and what bounds wrong tries.
import * as v from "valibot";
import { countSchema } from "../../hal/format/fields.ts";
import { tpmNameSchema } from "../../hal/format/identity.ts";

/** UTF-16 code units of a reason. */
export const TPM_REASON_CHARACTERS_MAX = 512;

/**
 * `ours`: the warden has its passwords. `others`: somebody else has set a password, or keeps a key
 * in the place of ours. `nobody`: no password is set. `unknown`: it was not reached yet.
 */
export const tpmOwnershipSchema = v.picklist(["ours", "others", "nobody", "unknown"]);
export type TpmOwnership = v.InferOutput<typeof tpmOwnershipSchema>;

export const tpmStateSchema = v.strictObject({
  /** Whether there is a TPM, or the firmware tells of one. */
  present: v.boolean(),
  ownership: tpmOwnershipSchema,
  /** Whether the lockout password may clear the TPM, where the TPM said so. The firmware can. */
  clear: v.picklist(["forbidden", "possible", "unknown"]),
  /** Too many wrong tries of protected objects. Keys of ours are none, and go on working. */
  lockedOut: v.boolean(),
  /** Whether the hub keeps the passwords under the owner's key. */
  escrowed: v.boolean(),
  /** Name of the endorsement key. */
  endorsement: v.optional(tpmNameSchema),
  /** Name of the storage root at 0x81000001. */
  storage: v.optional(tpmNameSchema),
});
export type TpmState = v.InferOutput<typeof tpmStateSchema>;

/** The state with its reason and numbers. */
export const tpmViewSchema = v.strictObject({
  ...tpmStateSchema.entries,
  /** Why it is not ours, in words. */
  why: v.optional(v.pipe(v.string(), v.maxLength(TPM_REASON_CHARACTERS_MAX))),
  /**
   * The storage root is that of TCG's template; another one that was there before; or another one
   * than the one that the device's key lies under.
   */
  storageKey: v.optional(v.picklist(["standard", "other", "beside"])),
  /** Why the passwords are not escrowed, in words. */
  notEscrowed: v.optional(v.pipe(v.string(), v.maxLength(TPM_REASON_CHARACTERS_MAX))),
  /** Wrong tries that are not forgotten yet, and how many lock protected objects. */
  failures: v.optional(countSchema),
  failuresMax: v.optional(countSchema),
  /** Seconds after which one wrong try is forgotten. */
  recoveryS: v.optional(countSchema),
});
export type TpmDetails = v.InferOutput<typeof tpmViewSchema>;

/** Where no TPM is configured. */
export const NO_TPM: TpmDetails = {
  present: false,
  ownership: "unknown",
  clear: "unknown",
  lockedOut: false,
  escrowed: false,
};
