// The payload of an `os/` target: the parts of the system, each by its chunk index. [OTA-64]
// [OTA-33]
import * as v from "valibot";
import { slotPartSchema } from "../../hal/format/slots.ts";
import { IMAGE_BYTES_MAX, INDEX_BYTES_MAX } from "../index/format/index.ts";

/** Three parts and some names. */
export const MANIFEST_BYTES_MAX = 16_384;

/** A path below the repository, of segments that need no escaping and cannot leave it. */
export const repositoryPathSchema = v.pipe(
  v.string(),
  v.maxLength(256),
  v.regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]*(?:\/[A-Za-z0-9][A-Za-z0-9._-]*)*$/,
    "expected a relative path of letters, digits, dots, dashes and underscores",
  ),
);

const partSchema = v.strictObject({
  part: slotPartSchema,
  /** The size of the whole part, uncompressed. The index must add up to it. */
  bytes: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(IMAGE_BYTES_MAX)),
  index: v.strictObject({
    path: repositoryPathSchema,
    bytes: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(INDEX_BYTES_MAX)),
    sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "expected 64 hex digits")),
  }),
});
export type ImagePart = v.InferOutput<typeof partSchema>;

export const osManifestSchema = v.strictObject({
  v: v.literal(1),
  /** The directory of the chunks, shared by all parts. */
  store: repositoryPathSchema,
  /** In the order of writing. */
  parts: v.pipe(
    v.array(partSchema),
    v.minLength(1),
    v.maxLength(3),
    v.check((parts) => new Set(parts.map(({ part }) => part)).size === parts.length, "expected each part once"),
    v.check(
      (parts) => parts.slice(0, -1).every(({ part }) => part !== "kernel"),
      "expected the kernel last: it makes the slot bootable",
    ),
  ),
});
export type OsManifest = v.InferOutput<typeof osManifestSchema>;
