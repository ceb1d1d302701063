// Where to cut an image: by content, so that what is inserted in the middle of an image moves no cut behind it and a later delta finds the rest again.
//
// A gear hash (Xia et al., "Ddelta: a deduplication-inspired fast delta compression approach", 2014) over the last 32 bytes. casync's own tool cuts elsewhere
// (buzhash); an index does not care who cut. The table comes from SHA-256, so that anybody can make it again. Never change it: old and new releases would
// share no chunk.
import { createHash } from "node:crypto";
import type { ChunkSizes } from "../../ota/index/format/index.ts";

/** casync's defaults. */
export const CHUNK_SIZES: ChunkSizes = { minBytes: 16_384, avgBytes: 65_536, maxBytes: 262_144 };

/** Bytes the hash looks back on: each moves one bit to the left a byte, out of 32. */
const WINDOW_BYTES = 32;

const GEAR = Uint32Array.from({ length: 256 }, (_, byte) =>
  createHash("sha256").update(`sallyport-gear/1 ${byte}`).digest().readUInt32BE(0),
);

/**
 * @returns length of the first chunk of `bytes`: all of them when there is no cut.
 * @param bytes what is left of the image, or its next `sizes.maxBytes` bytes.
 */
export function firstChunk(bytes: Uint8Array, sizes: ChunkSizes): number {
  const end = Math.min(bytes.byteLength, sizes.maxBytes);
  if (end <= sizes.minBytes || sizes.minBytes === sizes.maxBytes) return end;
  // A cut where the top bits are zero: once in 2^bits bytes, behind the least size.
  const shift = Math.min(32 - Math.round(Math.log2(sizes.avgBytes)), 31);
  let gear = 0;
  for (let at = Math.max(sizes.minBytes - WINDOW_BYTES, 0); at < end; at++) {
    gear = ((gear << 1) + (GEAR[bytes[at] ?? 0] ?? 0)) | 0;
    if (at + 1 >= sizes.minBytes && gear >>> shift === 0) return at + 1;
  }
  return end;
}
