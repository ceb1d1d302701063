// Bounds of the spool. [TUN-6] [TUN-7]
import { MESSAGE_BYTES_MAX } from "../format.ts";

/** A segment is closed once another record would bring it past this, so what is dropped together, and read back together, is small. */
export const SEGMENT_BYTES_MAX = 65_536;
/** Frame and header around a payload; see record.ts. */
export const RECORD_OVERHEAD_BYTES_MAX = 32;
export const RECORD_BYTES_MAX = MESSAGE_BYTES_MAX + RECORD_OVERHEAD_BYTES_MAX;
/** One record that is larger than a segment should be has a segment of its own, besides the mark that may precede it. */
export const SEGMENT_FILE_BYTES_MAX = RECORD_BYTES_MAX + SEGMENT_BYTES_MAX;
/** Accepted and not yet written: callers that do not wait for their promise meet this bound. */
export const UNWRITTEN_BYTES_MAX = 1_048_576;
/** Read ahead of the sender, for each class. */
export const READY_BYTES_MAX = RECORD_BYTES_MAX;
/** After this many acknowledgements the place reached is written down: as many messages at most are sent again after a crash, besides those on the way. */
export const ACKS_UNMARKED_MAX = 32;

export interface SpoolLimits {
  /** All segments of all classes together. */
  readonly bytesMax: number;
  /** Older messages are dropped instead of sent, where the wall clock could be believed both times. */
  readonly ageMsMax: number;
}

/** 16 MiB and 30 days: an outage of a long holiday, on the smallest flash we meet. */
export const SPOOL_LIMITS_DEFAULT: SpoolLimits = { bytesMax: 16_777_216, ageMsMax: 30 * 86_400_000 };
