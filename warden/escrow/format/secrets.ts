// The passwords of one TPM, with what they belong to: what is sealed for the owner, and what the
// owner gives back to a device that has lost them. [ID-54]
import type { KeyObject } from "node:crypto";
import * as v from "valibot";
import { Fault } from "../../../hal/fault.ts";
import { countSchema } from "../../../hal/format/fields.ts";
import { deviceIdSchema, tpmNameSchema } from "../../../hal/format/identity.ts";
import { canonicalJson, parseJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { openSealed, sealFor } from "./jwe.ts";
import type { EscrowKey } from "./key.ts";
import { CHIP_SECRETS_BYTES_MAX } from "./limits.ts";

/** As tpm2-tools take it behind `hex:`. */
const passwordSchema = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/u, "expected 32 bytes in hex"));

export const chipSecretsSchema = v.strictObject({
  v: v.literal(1),
  deviceId: deviceIdSchema,
  /** Name of the endorsement key, where it could be read: it tells one chip from another. */
  endorsement: v.optional(tpmNameSchema),
  /** Name of the storage root: it is another one after TPM2_Clear. */
  storage: tpmNameSchema,
  /** Which kind of storage root it is, as the status tells it. */
  storageKey: v.optional(v.picklist(["standard", "other", "beside"])),
  passwords: v.strictObject({
    owner: passwordSchema,
    endorsement: passwordSchema,
    lockout: passwordSchema,
    /** Of the counter's index. */
    counter: passwordSchema,
  }),
  /** Which persistent keys were not there before: handing the chip back removes them. */
  made: v.strictObject({ storage: v.boolean(), endorsement: v.boolean() }),
  /** The limits of wrong tries before: handing the chip back restores them. */
  before: v.strictObject({ tries: countSchema, recoveryS: countSchema, lockoutRecoveryS: countSchema }),
  madeAt: v.pipe(v.string(), v.isoTimestamp(), v.maxLength(32)),
});
export type ChipSecrets = v.InferOutput<typeof chipSecretsSchema>;

/** @returns a text that only the owner's private key opens. */
export function sealSecrets(owner: EscrowKey, secrets: ChipSecrets): string {
  return sealFor(owner, Buffer.from(encodeSecrets(secrets)));
}

/** @throws Fault `escrow.invalid`, `escrow.not-opened`, `escrow.key-unusable`. */
export function openSecrets(sealed: string, privateKey: KeyObject): ChipSecrets {
  return parseSecrets(openSealed(sealed, privateKey), "what is sealed in the text");
}

/** As `sallyport tpm passwords --out` writes it, and the warden reads it. */
export function encodeSecrets(secrets: ChipSecrets): string {
  return canonicalJson(secrets);
}

/**
 * @param what for messages, which quote nothing of the content.
 * @throws Fault `escrow.invalid`.
 */
export function parseSecrets(bytes: Uint8Array, what: string): ChipSecrets {
  try {
    return check(chipSecretsSchema, parseJson(bytes, CHIP_SECRETS_BYTES_MAX, what), what, "escrow.invalid", "withheld");
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    if (error.code === "escrow.invalid") throw error;
    // A message about JSON quotes what it met, which may be a password.
    throw new Fault("escrow.invalid", `${what} is not the JSON object that "sallyport tpm passwords --out" writes`);
  }
}
