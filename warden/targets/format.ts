// What the warden says of targets: the file it needs next, and the releases it offers. [OTA-40]
import * as v from "valibot";
import { countSchema, sha256Schema } from "../../hal/format/fields.ts";
import { repositoryPathSchema } from "../../ota/install/format.ts";
import { lineSchema, targetNameSchema } from "../../ota/trust/format/index.ts";

/** Files that the agent says the repository has not, in one request. */
export const ABSENT_PATHS_MAX = 16;
export const absentSchema = v.pipe(v.array(repositoryPathSchema), v.maxLength(ABSENT_PATHS_MAX));

/** The warden needs this file of the repository before it can go on: to be left with the courier, or called absent, and the request made again. [OTA-40] */
export const wantedSchema = v.strictObject({
  state: v.literal("wanted"),
  path: repositoryPathSchema,
  bytesMax: v.pipe(countSchema, v.minValue(1)),
  /** Under which it is to be left. */
  handoverName: v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9._-]{0,127}$/)),
});
export type WantedFile = v.InferOutput<typeof wantedSchema>;

/** A target that is for this device, in a line of which nothing newer is. */
export const offerSchema = v.strictObject({
  line: lineSchema,
  target: targetNameSchema,
  counter: countSchema,
  /** SHA-256 of its payload. */
  digest: sha256Schema,
});
export type TargetOffer = v.InferOutput<typeof offerSchema>;
