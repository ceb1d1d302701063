// The status of an update, as the warden reports it. [OTA-35]
import * as v from "valibot";
import { countSchema, sha256Schema, shortTextSchema } from "../../hal/format/fields.ts";
import { slotNameSchema, slotPartSchema } from "../../hal/format/slots.ts";
import { targetNameSchema } from "../../ota/trust/format/index.ts";
import { planHashSchema } from "../orders/format/index.ts";

const releaseSchema = v.strictObject({ target: targetNameSchema, counter: countSchema, digest: sha256Schema });
const healthSchema = v.strictObject({
  name: v.pipe(v.string(), v.maxLength(32)),
  verdict: v.picklist(["waiting", "passed", "failed"]),
  detail: shortTextSchema,
});

/** The phase of an update, and what the warden needs for it to go on. */
export const updateStatusSchema = v.strictObject({
  phase: v.picklist([
    "idle",
    "fetching",
    "verified",
    "written",
    "trying",
    "committing",
    "rolling-back",
    "committed",
    "rolled-back",
    "failed",
  ]),
  /** Version of the running image. */
  version: v.optional(v.pipe(v.string(), v.maxLength(64))),
  running: v.optional(slotNameSchema),
  release: v.optional(releaseSchema),
  /** The slot that the release is written to. */
  slot: v.optional(slotNameSchema),
  /**
   * The agent must leave the chunks `from` on, of `chunks` in all, in the hand-over directory and
   * call `update.write`. `from` = `chunks`: the part is being read back.
   */
  expects: v.optional(v.strictObject({ part: slotPartSchema, from: countSchema, chunks: countSchema })),
  /** The release is written and waits for an order `update.approve` over this plan hash. */
  awaitsOrder: v.optional(planHashSchema),
  health: v.optional(v.pipe(v.array(healthSchema), v.maxLength(16))),
  /** Why the release was rolled back. */
  reason: v.optional(v.strictObject({ why: v.pipe(v.string(), v.maxLength(32)), detail: shortTextSchema })),
  /** Why the release failed before it was tried. */
  detail: v.optional(shortTextSchema),
});
export type UpdateStatus = v.InferOutput<typeof updateStatusSchema>;
