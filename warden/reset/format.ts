// The plan of a factory reset: what the device loses and what it keeps. The owner's tool shows it
// and hashes it again before it signs. [ID-57] [OPS-26]
import { createHash } from "node:crypto";
import * as v from "valibot";
import { deviceIdSchema, fingerprintSchema, protectionSchema } from "../../hal/format/identity.ts";
import { canonicalJson } from "../../hal/format/json.ts";
import { planHashSchema } from "../orders/format/index.ts";

/** Canonical JSON of a plan has some 450 bytes. */
export const RESET_PLAN_BYTES_MAX = 2048;

/**
 * Who owns the TPM: this device, other software, nobody. `unknown`: the chip does not answer now.
 * `none`: there is no chip that this device looks after.
 */
export const CHIP_OWNERS = ["ours", "others", "nobody", "unknown", "none"] as const;
export type ChipOwner = (typeof CHIP_OWNERS)[number];

/** The groups of data that a reset destroys. */
export const LOST = ["identity", "certificates", "messages", "roster", "policy", "approvals"] as const;
/** The groups that it keeps. */
export const KEPT = ["release", "floors", "metadata", "audit"] as const;

export const resetPlanSchema = v.strictObject({
  v: v.literal(1),
  kind: v.literal("reset-plan"),
  deviceId: deviceIdSchema,
  /** Null before the first key. */
  identity: v.nullable(v.strictObject({ protection: protectionSchema, keyFingerprint: fingerprintSchema })),
  chip: v.picklist(CHIP_OWNERS),
  /** The version of the running release; null where the image does not say it. */
  version: v.nullable(v.pipe(v.string(), v.maxLength(64))),
  lost: v.pipe(v.array(v.picklist(LOST)), v.maxLength(LOST.length)),
  kept: v.pipe(v.array(v.picklist(KEPT)), v.maxLength(KEPT.length)),
});
export type ResetPlan = v.InferOutput<typeof resetPlanSchema>;

export const resetPlanViewSchema = v.strictObject({ planHash: planHashSchema, plan: resetPlanSchema });
export type ResetPlanView = v.InferOutput<typeof resetPlanViewSchema>;

/** The hash that the owner signs: `sha256:` and the hash over the plan in canonical JSON. */
export function resetPlanHash(plan: ResetPlan): string {
  return `sha256:${createHash("sha256").update(canonicalJson(plan)).digest("hex")}`;
}

const PROTECTED = {
  tpm: "in the TPM",
  sealed: "sealed to the TPM",
  file: "in a file",
} as const;

const CHIP = {
  ours: "owned by this device: it is handed back, if it answers",
  others: "owned by other software: it stays theirs",
  nobody: "owned by nobody",
  unknown: "it does not answer now; handing it back is tried, and what remains is recorded",
  none: "none that this device looks after",
} as const;

const LOST_TEXT = {
  identity: "its key and the record of its birth",
  certificates: "its certificates",
  messages: "messages that the hub has not got yet",
  roster: "its roster of operators",
  policy: "its confirmed policy",
  approvals: "approvals of releases",
} as const;

const KEPT_TEXT = {
  release: "the running release and both slots",
  floors: "the floors: no older release can be installed",
  metadata: "what it has seen of the repository",
  audit: "the audit trail and its key",
} as const;

/** The rows that a person must have read: a label and its text each. */
export function describeReset(plan: ResetPlan): readonly (readonly [string, string])[] {
  const { identity, chip, version, lost, kept } = plan;
  return [
    ...(identity === null
      ? ([["key", "none that is recorded"]] as const)
      : ([
          ["key", identity.keyFingerprint],
          ["", `${PROTECTED[identity.protection]}, destroyed`],
        ] as const)),
    ["chip", CHIP[chip]],
    ["runs", version === null ? "a release that does not say its version" : `version ${version}`],
    ["loses", lost.map((group) => LOST_TEXT[group]).join("; ")],
    ["keeps", kept.map((group) => KEPT_TEXT[group]).join("; ")],
    ["effect", "it restarts as from the factory, with the image's policy and no roster, and asks for approval with a new key"],
  ];
}
