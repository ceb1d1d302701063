// What others may read of the identity: the verdict about the board, and the upgrade of a device
// key, that is the plan that an order is about and the grant that it gives. [ID-65] [ID-66] [ID-96]
import { createHash } from "node:crypto";
import * as v from "valibot";
import { canonicalJson } from "../../hal/format/json.ts";
import { type Fingerprint, fingerprintSchema, isWeaker, PROTECTIONS, protectionSchema } from "../../hal/format/identity.ts";
import { nonceSchema } from "../../ota/format/time.ts";
import { principalIdSchema } from "../roster/format.ts";

/**
 * [ID-96] `other`: nothing of the board is as at the birth. `changed`: the hardware would give
 * another id, and it may be the same board.
 */
export const boardVerdictSchema = v.picklist(["same", "changed", "other"]);
export type BoardVerdict = v.InferOutput<typeof boardVerdictSchema>;

/** [ID-65] What an order `key.upgrade` is about: the key that is replaced, and what replaces it. */
export const upgradePlanSchema = v.strictObject({
  v: v.literal(1),
  kind: v.literal("key-upgrade"),
  from: v.strictObject({ protection: protectionSchema, keyFingerprint: fingerprintSchema }),
  /** The weakest protection that the new key may have. */
  to: protectionSchema,
});
export type UpgradePlan = v.InferOutput<typeof upgradePlanSchema>;

/** The hash that an order `key.upgrade` names. */
export function upgradePlanHash(plan: UpgradePlan): string {
  return `sha256:${createHash("sha256").update(canonicalJson(plan)).digest("hex")}`;
}

/**
 * Every upgrade that a key with this fingerprint can have. There are so few that a signer who knows
 * the fingerprint finds out what a hash stands for without the device. [OPS-26]
 */
export function upgradePlansOf(keyFingerprint: Fingerprint): readonly UpgradePlan[] {
  return PROTECTIONS.flatMap((protection) =>
    PROTECTIONS.filter((to) => isWeaker(protection, to)).map(
      (to) => ({ v: 1, kind: "key-upgrade", from: { protection, keyFingerprint }, to }) as const,
    ),
  );
}

/** [ID-66] What an order has granted: one replacement of the recorded key, until it expires. */
export const keyGrantSchema = v.strictObject({
  /** The nonce of the order, which no other order has. */
  order: nonceSchema,
  by: principalIdSchema,
  /** The fingerprint of the key that may be replaced. */
  from: fingerprintSchema,
  /** The weakest protection that the new key may have. */
  to: protectionSchema,
  /** Undefined until the clock can be trusted: then the grant gets its date. */
  expires: v.optional(v.pipe(v.string(), v.isoTimestamp())),
});
export type KeyGrant = v.InferOutput<typeof keyGrantSchema>;
