// An image in stretches that fit into the courier's directory. Pure.
import type { ChunkIndex } from "../index/format/index.ts";

/** Uncompressed bytes in the handover directory at the same time. */
const RANGE_BYTES_MAX = 16_777_216;

/** Chunks from `from` up to but not including `to`. */
export interface FetchRange {
  readonly from: number;
  readonly to: number;
}

/** In order, without gaps, each of at least one chunk and else of at most `bytesMax` bytes, uncompressed. */
export function* windowsOf(index: ChunkIndex, bytesMax = RANGE_BYTES_MAX): Generator<FetchRange> {
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
