// A loop over an image in ranges of consecutive chunks, with several in progress at once.
import { asFault, type Fault } from "../../hal/fault.ts";
import type { ChunkIndex, ChunkRef } from "../index/format/index.ts";
import { RANGE_BYTES } from "./limits.ts";

/** Consecutive chunks of at most {@link RANGE_BYTES} together, or a single larger chunk. */
export interface ChunkRange {
  readonly refs: readonly ChunkRef[];
  readonly offset: number;
  readonly bytes: number;
}

export interface RangeLoop {
  readonly index: ChunkIndex;
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
  /** Ranges in progress at the same time. */
  readonly width: number;
}

/**
 * After a failure no further range is begun, and those in progress are awaited.
 * @throws the first failure, as a Fault.
 */
export async function forEachRange(
  { index, from, to, width }: RangeLoop,
  work: (range: ChunkRange) => Promise<void>,
): Promise<void> {
  const faults: Fault[] = [];
  let next = from;
  const worker = async (): Promise<void> => {
    while (next < to && faults.length === 0) {
      const range = rangeAt(index, next, to);
      next += range.refs.length;
      await work(range);
    }
  };
  const recordFault = (error: unknown): void => void faults.push(asFault(error, "slot.write-failed", "install a part"));
  await Promise.all(Array.from({ length: width }, () => worker().catch(recordFault)));
  if (faults[0] !== undefined) throw faults[0];
}

function rangeAt(index: ChunkIndex, from: number, to: number): ChunkRange {
  const first = index.at(from);
  const refs = [first];
  let bytes = first.length;
  for (let n = from + 1; n < to; n += 1) {
    const ref = index.at(n);
    if (bytes + ref.length > RANGE_BYTES) break;
    refs.push(ref);
    bytes += ref.length;
  }
  return { refs, offset: first.offset, bytes };
}
