// The settings that `init` stores beside the keys.
import * as v from "valibot";
import { check } from "../../hal/format/schema.ts";
import { parseJson } from "../../hal/format/json.ts";
import { hostSchema } from "../../ota/format/anchors.ts";

/**
 * [ID-24] A shorter life cannot be served: between two certificates of a device lies a tenth of the
 * life, in which a hub that is restarted and a clock that is five minutes off must find room.
 */
export const CERTIFICATE_LIFE_MS_MIN = 3_600_000;
const CERTIFICATE_LIFE_MS_MAX = 10 * 366 * 86_400_000;

export const settingsSchema = v.strictObject({
  v: v.literal(1),
  /** All names and addresses in the hub's certificate. Devices check the first one. */
  hosts: v.pipe(v.array(hostSchema), v.minLength(1), v.maxLength(16)),
  /** Of device certificates. */
  certificateLifeMs: v.pipe(
    v.number(),
    v.safeInteger(),
    v.minValue(
      CERTIFICATE_LIFE_MS_MIN,
      "expected a certificate life of 1 h at least: devices cannot renew a shorter one in time",
    ),
    v.maxValue(CERTIFICATE_LIFE_MS_MAX, "expected a certificate life of 10 years at most"),
  ),
});
export type Settings = v.InferOutput<typeof settingsSchema>;

/**
 * Long enough for a plant that is offline during a seasonal shutdown, short enough for a lost
 * device's certificate to expire.
 */
export const CERTIFICATE_LIFE_MS_DEFAULT = 90 * 86_400_000;

/** @throws Fault `config.invalid`, `json.invalid`. */
export function parseSettings(text: string): Settings {
  return check(settingsSchema, parseJson(text, 8192, "the hub's settings"), "the hub's settings", "config.invalid");
}
