// The running image's statement about itself. It is a file of the image, so it is as trustworthy as
// the image. Version 1 of everything else that is signed lies beside it.
import * as v from "valibot";
import { hardwareIdSchema } from "../trust/format/index.ts";

export const IMAGE_FACTS_BYTES_MAX = 4096;

export const imageFactsSchema = v.strictObject({
  v: v.literal(1),
  /** For people: `2.4.1`. */
  version: v.pipe(
    v.string(),
    v.regex(/^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/u, "expected 1 to 64 letters, digits, '.', '_', '+', '-'"),
  ),
  /** The name of the hardware in releases. [OTA-11] */
  hardware: hardwareIdSchema,
  /** The counter of the release in its line; 0 for an image that was flashed and never released. */
  counter: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
});
export type ImageFacts = v.InferOutput<typeof imageFactsSchema>;
