// The state of an update as the warden reports it. [OTA-35]
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

/** Where an update is, and what the warden needs for it to go on. */
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
  /** Of the image that runs. */
  version: v.optional(v.pipe(v.string(), v.maxLength(64))),
  running: v.optional(slotNameSchema),
  release: v.optional(releaseSchema),
  /** That the release is for. */
  slot: v.optional(slotNameSchema),
  /** Chunks `from` on, of `chunks` in all, are to be left with the courier, then `update.write` called. `from` = `chunks`: being read back. */
  expects: v.optional(v.strictObject({ part: slotPartSchema, from: countSchema, chunks: countSchema })),
  /** It is written and waits for an order `update.approve` over this. */
  awaitsOrder: v.optional(planHashSchema),
  health: v.optional(v.pipe(v.array(healthSchema), v.maxLength(16))),
  /** Why it was rolled back. */
  reason: v.optional(v.strictObject({ why: v.pipe(v.string(), v.maxLength(32)), detail: shortTextSchema })),
  /** Why it failed before it was tried. */
  detail: v.optional(shortTextSchema),
});
export type UpdateStatus = v.InferOutput<typeof updateStatusSchema>;
