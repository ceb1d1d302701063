// The settings that `init` stores beside the keys.
import * as v from "valibot";
import { decodeRecord, encodeRecord, type RecordFormat } from "../../hal/format/record.ts";
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

const SETTINGS: RecordFormat<Settings> = {
  what: "the hub's settings",
  version: 1,
  readable: 1,
  bytesMax: 8192,
  schema: settingsSchema,
  code: "config.invalid",
  spelling: "any",
};

/** @throws Fault `config.invalid`; `record.newer` for settings that only a newer hub may use. */
export function parseSettings(text: string): Settings {
  return decodeRecord(Buffer.from(text), SETTINGS);
}

export function formatSettings(settings: Settings): string {
  return `${Buffer.from(encodeRecord(settings, SETTINGS)).toString()}\n`;
}
