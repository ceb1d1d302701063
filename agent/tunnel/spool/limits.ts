// Bounds of the spool. [TUN-20] [TUN-7]
import { MESSAGE_BYTES_MAX } from "../format.ts";

/**
 * A segment is closed when another record would exceed this. What is dropped together or read back
 * together stays small in this way: a 64th of the spool.
 */
export function segmentBytesMax(spoolBytesMax: number): number {
  return Math.min(SEGMENT_BYTES_MAX, Math.max(SEGMENT_BYTES_MIN, Math.floor(spoolBytesMax / 64)));
}
const SEGMENT_BYTES_MIN = 65_536;
/** Each new segment costs several writes of the file system, so larger ones would save little. */
const SEGMENT_BYTES_MAX = 262_144;
/** The frame and the header around a payload; see record.ts. */
export const RECORD_OVERHEAD_BYTES_MAX = 32;
export const RECORD_BYTES_MAX = MESSAGE_BYTES_MAX + RECORD_OVERHEAD_BYTES_MAX;
/**
 * A record larger than a segment's bound has a segment of its own, which a mark may precede.
 */
export const SEGMENT_FILE_BYTES_MAX = RECORD_BYTES_MAX + SEGMENT_BYTES_MAX;
/** Accepted and not yet written. This bounds callers that do not await their promise. */
export const UNWRITTEN_BYTES_MAX = 1_048_576;
/** Read ahead of the sender, in each class. */
export const READY_BYTES_MAX = RECORD_BYTES_MAX;
/**
 * After this many acknowledgements the position reached is written to disk. At most as many
 * messages are sent a second time after a crash, beside those in flight.
 */
export const ACKS_UNMARKED_MAX = 32;

export interface SpoolLimits {
  /** All segments of all classes together. */
  readonly bytesMax: number;
  /** Older messages are dropped instead of sent, where a clock can tell their age. [TUN-73] */
  readonly ageMsMax: number;
}

/**
 * 16 MiB and 30 days: enough for an outage over a long holiday, and small enough for a small flash.
 */
export const SPOOL_LIMITS_DEFAULT: SpoolLimits = { bytesMax: 16_777_216, ageMsMax: 30 * 86_400_000 };
