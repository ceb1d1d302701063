// The protocol between the warden and the installer: one JSON object a line, over the installer's
// standard input and output. [OTA-41]
import * as v from "valibot";
import { FAULT_CODES } from "../../hal/fault.ts";
import { slotNameSchema, slotPartSchema } from "../../hal/format/slots.ts";
import { osManifestSchema } from "../../ota/install/format.ts";

/**
 * A line in either direction, with its newline: the parts of a manifest, or the message of a fault.
 */
export const INSTALL_LINE_BYTES_MAX = 32_768;

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const range = { part: slotPartSchema, from: count, to: count };

/** To the installer. */
export const installJobSchema = v.variant("do", [
  /** Comes first, and once. The indexes of all parts lie in the hand-over directory. */
  v.strictObject({ do: v.literal("install"), v: v.literal(1), slot: slotNameSchema, parts: osManifestSchema.entries.parts }),
  /**
   * Chunks `from` up to but not including `to` lie in the hand-over directory. Ranges come in
   * order, without gaps, part by part.
   */
  v.strictObject({ do: v.literal("write"), ...range }),
]);
export type InstallJob = v.InferOutput<typeof installJobSchema>;

/** From the installer. */
export const installEventSchema = v.variant("said", [
  /** Every index is the one of the manifest: chunks may come. */
  v.strictObject({ said: v.literal("ready") }),
  /** A sign of life. */
  v.strictObject({
    said: v.literal("progress"),
    part: slotPartSchema,
    phase: v.picklist(["writing", "reading-back"]),
    chunks: count,
  }),
  /** The range is in the slot and synced. */
  v.strictObject({ said: v.literal("written"), ...range }),
  /** The whole part was read back from the device and is what it should be. [OTA-33] */
  v.strictObject({ said: v.literal("proven"), part: slotPartSchema }),
  /** Every part is proven. The installer ends with code 0. */
  v.strictObject({ said: v.literal("done") }),
  /** The installer cannot go on, and ends with code 1. */
  v.strictObject({ said: v.literal("fault"), code: v.picklist(FAULT_CODES), message: v.pipe(v.string(), v.maxLength(2048)) }),
]);
export type InstallEvent = v.InferOutput<typeof installEventSchema>;
