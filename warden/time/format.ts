// The state of the wall clock as the warden reports it. [ID-10]
import * as v from "valibot";
import { countSchema } from "../../hal/format/fields.ts";

export const clockStateSchema = v.strictObject({
  /**
   * `unset`: below the floor or beyond build date + 15 years. `unverified`: plausible, but not from
   * the hub. `synced`: set from signed hub time in this boot.
   */
  state: v.picklist(["unset", "unverified", "synced"]),
  nowMs: v.pipe(v.number(), v.safeInteger()),
  floorMs: countSchema,
});
export type ClockState = v.InferOutput<typeof clockStateSchema>;
