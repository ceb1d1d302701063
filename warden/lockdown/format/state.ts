// The lockdown as the warden reports it: state, view and preview of a policy. [LCK-10]
import * as v from "valibot";
import { FAULT_CODES } from "../../../hal/fault.ts";
import { countSchema, shortTextSchema } from "../../../hal/format/fields.ts";
import { nonceSchema } from "../../../ota/format/time.ts";
import { planHashSchema } from "../../orders/format/index.ts";
import { planSchema } from "./plan.ts";

export const LOCKDOWN_LINES_MAX = 256;
export const UNKNOWN_MAX = 8;
const linesSchema = v.pipe(v.array(v.pipe(v.string(), v.maxLength(512))), v.maxLength(LOCKDOWN_LINES_MAX));

export const lockdownTrialSchema = v.strictObject({
  planHash: planHashSchema,
  /** For the order that confirms or reverts it. */
  nonce: nonceSchema,
  confirmWithinMs: countSchema,
});
export type LockdownTrial = v.InferOutput<typeof lockdownTrialSchema>;

/** What the device may use now. */
export const lockdownStateSchema = v.strictObject({
  at: v.picklist(["base", "confirmed", "pending", "shut", "changing"]),
  /** Counter of the policy in force; absent for the image's base policy. */
  counter: v.optional(countSchema),
  planHash: v.optional(planHashSchema),
  trial: v.optional(lockdownTrialSchema),
  /** The last policy that was tried and not kept. */
  reverted: v.optional(
    v.strictObject({
      planHash: planHashSchema,
      reason: shortTextSchema,
      /** [LCK-67] The policy's counter where its trial was only interrupted: it may be repeated. */
      again: v.optional(countSchema),
    }),
  ),
  /**
   * [LCK-69] Other programs changed our table, since the warden started: how often it was put back,
   * how long ago the first and the last time, and who it was last.
   */
  meddling: v.optional(
    v.strictObject({ times: countSchema, firstAgoS: countSchema, lastAgoS: countSchema, by: shortTextSchema }),
  ),
  /** [ID-72] The code of the fault for which the doors are shut, whatever the policy opens. */
  held: v.optional(v.picklist(FAULT_CODES)),
  /** What this machine cannot enforce, as texts for people. */
  unenforced: v.optional(v.pipe(v.array(shortTextSchema), v.maxLength(8))),
  /** [LCK-40] What could not be told about this machine, and what became of it, for people. */
  unknown: v.optional(v.pipe(v.array(shortTextSchema), v.maxLength(UNKNOWN_MAX))),
});
export type LockdownState = v.InferOutput<typeof lockdownStateSchema>;

export const lockdownViewSchema = v.strictObject({
  state: lockdownStateSchema,
  /** One line for everything that stays open. */
  open: linesSchema,
  /** The USB devices that are plugged in, one line each, with their verdicts and reasons. */
  usb: linesSchema,
});
export type LockdownView = v.InferOutput<typeof lockdownViewSchema>;

/**
 * [LCK-20] A plan as its hash covers it, for somebody who signs an order over that hash. The
 * receiver hashes it again.
 */
export const lockdownPlanViewSchema = v.strictObject({ planHash: planHashSchema, plan: planSchema });
export type LockdownPlanView = v.InferOutput<typeof lockdownPlanViewSchema>;

export const lockdownPreviewSchema = v.strictObject({
  planHash: planHashSchema,
  /** A policy with any risk is refused. */
  risks: linesSchema,
  opens: linesSchema,
  closes: linesSchema,
  /** What would be open under the policy. */
  open: linesSchema,
});
export type LockdownPreview = v.InferOutput<typeof lockdownPreviewSchema>;
