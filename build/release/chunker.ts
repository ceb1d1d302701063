// Content-defined chunking of an image: an insertion in the middle moves no cut behind it, so a
// later delta finds the rest unchanged.
//
// It uses a gear hash (Xia et al., "Ddelta: a deduplication-inspired fast delta compression
// approach", 2014) over the last 32 bytes. casync's own tool cuts elsewhere (buzhash), which an
// index allows. The table comes from SHA-256, so that anybody can reproduce it. Never change it:
// old and new releases would share no chunk.
import { createHash } from "node:crypto";
import type { ChunkSizes } from "../../ota/index/format/index.ts";

/** casync's defaults. */
export const CHUNK_SIZES: ChunkSizes = { minBytes: 16_384, avgBytes: 65_536, maxBytes: 262_144 };

/** The window of the hash: each byte moves left by one bit per step, out of 32 bits. */
const WINDOW_BYTES = 32;

const GEAR = Uint32Array.from({ length: 256 }, (_, byte) =>
  createHash("sha256").update(`sallyport-gear/1 ${byte}`).digest().readUInt32BE(0),
);

/**
 * @param bytes the rest of the image, or its next `sizes.maxBytes` bytes.
 * @returns the length of the first chunk of `bytes`: all of them when there is no cut.
 */
export function firstChunk(bytes: Uint8Array, sizes: ChunkSizes): number {
  const end = Math.min(bytes.byteLength, sizes.maxBytes);
  if (end <= sizes.minBytes || sizes.minBytes === sizes.maxBytes) return end;
  // A cut is where the top bits are zero: once in 2^bits bytes, after the minimum size.
  const shift = Math.min(32 - Math.round(Math.log2(sizes.avgBytes)), 31);
  let gear = 0;
  for (let at = Math.max(sizes.minBytes - WINDOW_BYTES, 0); at < end; at++) {
    gear = ((gear << 1) + (GEAR[bytes[at] ?? 0] ?? 0)) | 0;
    if (at + 1 >= sizes.minBytes && gear >>> shift === 0) return at + 1;
  }
  return end;
}
