// The system of a simulated board as an image: a line that describes it, then filling. The launcher
// reads the line and acts accordingly.
import { open } from "node:fs/promises";
import * as v from "valibot";
import { parseJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { imageOf } from "./images.ts";

const HEADER_BYTES = 4096;
const programSchema = v.optional(v.picklist(["works", "broken"]), "works");

const headerSchema = v.strictObject({
  version: v.string(),
  counter: v.number(),
  /** `broken`: the program ends as soon as it is started. */
  agent: programSchema,
  warden: programSchema,
});
export type SystemHeader = v.InferOutput<typeof headerSchema>;

export interface SystemImage {
  readonly version: string;
  readonly counter: number;
  readonly agent?: "works" | "broken";
  readonly warden?: "works" | "broken";
  /** Of the root part. */
  readonly bytes: number;
}

/** The root part. Releases differ only at the front, as two releases of one system mostly agree. */
export function systemRoot({ bytes, ...header }: SystemImage): Buffer {
  const image = imageOf(bytes, "system");
  imageOf(Math.min(bytes, 16 * HEADER_BYTES), header.version).copy(image);
  image.fill(0, 0, HEADER_BYTES);
  image.write(`${JSON.stringify(header)}\n`);
  return image;
}

/** The kernel part. */
export function systemKernel({ version }: Pick<SystemImage, "version">): Buffer {
  return imageOf(32_768, `kernel of ${version}`);
}

/** @param path of a root part in a slot. */
export async function readSystemHeader(path: string): Promise<SystemHeader> {
  await using file = await open(path);
  const { bytesRead, buffer } = await file.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
  const [line = ""] = buffer.subarray(0, bytesRead).toString("utf8").split("\n");
  return check(headerSchema, parseJson(line, HEADER_BYTES, path), path);
}
