// The state of the wall clock as the warden reports it. [ID-10]
import * as v from "valibot";
import { countSchema } from "../../hal/format/fields.ts";

/**
 * [TUN-70] A clock that is further from where the hub has put it, by the monotonic clock, was
 * stepped by somebody else. Smaller steps change nothing for the dates of a certificate.
 */
export const CLOCK_STEP_MS_MIN = 60_000;

export const clockStateSchema = v.strictObject({
  /**
   * `unset`: below the floor or beyond build date + 15 years. `unverified`: plausible, but not from
   * the hub, or stepped by another program since. `synced`: set from signed hub time in this boot,
   * and not stepped since. [TUN-70]
   */
  state: v.picklist(["unset", "unverified", "synced"]),
  nowMs: v.pipe(v.number(), v.safeInteger()),
  floorMs: countSchema,
});
export type ClockState = v.InferOutput<typeof clockStateSchema>;
