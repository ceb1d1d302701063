// Targets on the wire: the file that the warden needs next, and the releases that it offers.
// [OTA-40]
import * as v from "valibot";
import { countSchema, listSchema, sha256Schema } from "../../hal/format/fields.ts";
import { repositoryPathSchema } from "../../ota/install/format.ts";
import { lineSchema, targetNameSchema } from "../../ota/trust/format/index.ts";

/** Paths in one request that the repository lacks, as the agent reports. */
export const ABSENT_PATHS_MAX = 16;
export const absentSchema = listSchema(repositoryPathSchema, ABSENT_PATHS_MAX);

/**
 * The warden needs this file of the repository before it can go on. The agent leaves it in the
 * hand-over directory, or reports it absent, and repeats the request. [OTA-40]
 */
export const wantedSchema = v.strictObject({
  state: v.literal("wanted"),
  path: repositoryPathSchema,
  bytesMax: v.pipe(countSchema, v.minValue(1)),
  /** The name of the file in the hand-over directory. */
  handoverName: v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9._-]{0,127}$/)),
});
export type WantedFile = v.InferOutput<typeof wantedSchema>;

/** The newest target of its line for this device. */
export const offerSchema = v.strictObject({
  line: lineSchema,
  target: targetNameSchema,
  counter: countSchema,
  /** SHA-256 of its payload, in hex. */
  digest: sha256Schema,
});
export type TargetOffer = v.InferOutput<typeof offerSchema>;
