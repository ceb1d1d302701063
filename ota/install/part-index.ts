// Opening the index of a part, checked against the signed manifest. [OTA-30]
import { createHash } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import { type ChunkIndex, readIndex } from "../index/format/index.ts";
import type { ImagePart } from "./format.ts";

/**
 * [OTA-30]
 * @throws Fault `index.invalid` for bytes other than those the manifest names, and as
 *   {@link readIndex}.
 */
export function openPartIndex(bytes: Uint8Array, { part, bytes: imageBytes, index: expected }: ImagePart): ChunkIndex {
  if (bytes.byteLength !== expected.bytes || createHash("sha256").update(bytes).digest("hex") !== expected.sha256)
    throw new Fault("index.invalid", `open the index of ${part}, "${expected.path}": it is not the one the manifest names`);
  const index = readIndex(bytes);
  if (index.imageBytes !== imageBytes)
    throw new Fault(
      "index.invalid",
      `open the index of ${part}: its chunks make ${index.imageBytes} bytes, but the manifest says ${imageBytes}`,
    );
  return index;
}
