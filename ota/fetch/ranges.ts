// The division of an image into ranges that fit into the hand-over directory. Pure.
import type { ChunkIndex } from "../index/format/index.ts";

/** Chunks from `from` up to but not including `to`. */
export interface FetchRange {
  readonly from: number;
  readonly to: number;
}

/**
 * Ranges in order and without gaps. Each has at most `bytesMax` bytes, uncompressed, or is a single
 * larger chunk.
 */
export function* windowsOf(index: ChunkIndex, bytesMax: number): Generator<FetchRange> {
  let from = 0;
  let bytes = 0;
  for (let n = 0; n < index.count; n++) {
    const { length } = index.at(n);
    if (n > from && bytes + length > bytesMax) {
      yield { from, to: n };
      from = n;
      bytes = 0;
    }
    bytes += length;
  }
  if (from < index.count) yield { from, to: index.count };
}
