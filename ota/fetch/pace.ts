// How many files are requested at the same time, and how many bytes belong to one range: by what
// the line has brought so far. On a slow line each further connection only makes all the others
// slower. [OTA-75]
import { CHUNK_FILE_BYTES_MAX } from "../index/format/index.ts";

/** On a fast line more requests keep it busy although each takes a round trip. */
export const IN_FLIGHT_MAX = 6;
const IN_FLIGHT_FIRST = 2;
/** A file that came within this time leaves room for one more request. */
const QUICK_MS = 2_000;
/** One that took longer than this shares the line with too many. */
const SLOW_MS = 15_000;

/**
 * A range is what is written together, and what a power cut takes is fetched again: it should not
 * take longer than this.
 */
const RANGE_MS = 60_000;
/** Uncompressed bytes in the hand-over directory at the same time. */
const RANGE_BYTES_MAX = 16_777_216;

/** What one update has learnt about its line. It may live as long as the update. */
export class FetchPace {
  #inFlightMax = IN_FLIGHT_FIRST;
  #bytesPerS: number | undefined;

  get inFlightMax(): number {
    return this.#inFlightMax;
  }

  /** Uncompressed bytes of the next range. */
  get rangeBytesMax(): number {
    const bytes = this.#bytesPerS === undefined ? CHUNK_FILE_BYTES_MAX : (this.#bytesPerS * RANGE_MS) / 1000;
    return Math.min(Math.max(bytes, CHUNK_FILE_BYTES_MAX), RANGE_BYTES_MAX);
  }

  /** A file has arrived whole. */
  fetched(tookMs: number): void {
    if (tookMs <= QUICK_MS) this.#inFlightMax = Math.min(this.#inFlightMax + 1, IN_FLIGHT_MAX);
    if (tookMs >= SLOW_MS) this.#inFlightMax = Math.max(1, this.#inFlightMax >> 1);
  }

  /** An answer took too long, or broke off. */
  broke(): void {
    this.#inFlightMax = Math.max(1, this.#inFlightMax >> 1);
  }

  /** A range is complete. What was not fetched, because it was there, does not count. */
  ranged(bytes: number, tookMs: number): void {
    if (bytes > 0) this.#bytesPerS = (bytes * 1000) / Math.max(tookMs, 1);
  }
}
