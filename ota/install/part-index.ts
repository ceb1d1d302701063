// The index of a part, held against what the signed manifest says of it. [OTA-30]
import { createHash } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import { type ChunkIndex, readIndex } from "../index/format/index.ts";
import type { ImagePart } from "./format.ts";

/** [OTA-30] @throws Fault `index.invalid` for other bytes than the manifest names, and as {@link readIndex}. */
export function openPartIndex(bytes: Uint8Array, { part, bytes: imageBytes, index: named }: ImagePart): ChunkIndex {
  if (bytes.byteLength !== named.bytes || createHash("sha256").update(bytes).digest("hex") !== named.sha256)
    throw new Fault("index.invalid", `open the index of ${part}, "${named.path}": it is not the one the manifest names`);
  const index = readIndex(bytes);
  if (index.imageBytes !== imageBytes)
    throw new Fault(
      "index.invalid",
      `open the index of ${part}: its chunks make ${index.imageBytes} bytes, the manifest says ${imageBytes}`,
    );
  return index;
}
