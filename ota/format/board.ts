// What a device tells the hub before it uses an id on another board than that of its birth, and the
// hub's answer. [ID-97]
import * as v from "valibot";
import { boardSchema, deviceIdSchema } from "../../hal/format/identity.ts";

export const BOARD_PATH = "/.well-known/sallyport/board";
export const BOARD_BYTES_MAX = 4096;

export const boardNoticeSchema = v.strictObject({
  v: v.literal(1),
  deviceId: deviceIdSchema,
  /** By the birth record. */
  born: boardSchema,
  found: boardSchema,
});
export type BoardNotice = v.InferOutput<typeof boardNoticeSchema>;

/** `take`: an operator has let in the board that was found. */
export const boardDecisionSchema = v.object({ decision: v.picklist(["wait", "take"]) });
