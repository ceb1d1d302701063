// The settings that `init` stores beside the keys.
import * as v from "valibot";
import { decodeRecord, encodeRecord, type RecordFormat } from "../../hal/format/record.ts";
import { hostSchema } from "../../ota/format/anchors.ts";

export const settingsSchema = v.strictObject({
  v: v.literal(1),
  /** All names and addresses in the hub's certificate. Devices check the first one. */
  hosts: v.pipe(v.array(hostSchema), v.minLength(1), v.maxLength(16)),
  /** Validity of device certificates. */
  certificateLifeMs: v.pipe(v.number(), v.safeInteger(), v.minValue(1000), v.maxValue(10 * 366 * 86_400_000)),
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
