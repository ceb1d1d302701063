// The record of a reset under way, `reset.json`: each step is in it before the next one begins.
import * as v from "valibot";
import { FAULT_CODES } from "../../hal/fault.ts";
import { countSchema } from "../../hal/format/fields.ts";
import type { RecordFormat } from "../../hal/format/record.ts";
import { planHashSchema } from "../orders/format/index.ts";
import { principalIdSchema } from "../roster/format.ts";
import { RESET_RECORD_BYTES_MAX } from "./limits.ts";

export const RESET_FILE = "reset.json";

/** What became of the chip. Absent where there is none. */
const chipOutcomeSchema = v.strictObject({ handedBack: v.boolean(), code: v.optional(v.picklist(FAULT_CODES)) });
export type ChipOutcome = v.InferOutput<typeof chipOutcomeSchema>;

const resetOrderSchema = v.strictObject({ by: principalIdSchema, planHash: planHashSchema });
export type ResetOrder = v.InferOutput<typeof resetOrderSchema>;

const recordSchema = v.strictObject({
  v: v.literal(1),
  /**
   * `ordered`: nothing is lost yet. `released`: the chip is dealt with. `marked`: the wipe waits
   * for the next boot.
   */
  at: v.picklist(["ordered", "released", "marked"]),
  order: resetOrderSchema,
  chip: v.optional(chipOutcomeSchema),
  /** With `marked`: the boot in which the restart was asked for, and how many boots did before. */
  bootId: v.optional(v.pipe(v.string(), v.maxLength(36))),
  boots: v.optional(countSchema),
});
export type ResetRecord = v.InferOutput<typeof recordSchema>;

/** An older program that may not read it carries out no reset, and the owner orders it again. */
export const RESET_RECORD: RecordFormat<ResetRecord> = {
  what: "the record of the reset",
  version: 1,
  readable: 1,
  bytesMax: RESET_RECORD_BYTES_MAX,
  schema: recordSchema,
  replaceable: true,
};
