// Bounds of the audit log.
import { type AuditSeverity, type AuditSource, SEGMENT_RECORDS } from "./format/index.ts";

export interface AuditLimits {
  /**
   * Bytes of an epoch's segments and tiles together, the tile of the open segment included.
   * [AUD-11]
   */
  readonly bytesMax: number;
  /**
   * Zeros written behind a record that does not fit into those that are left, for later records to
   * overwrite. [AUD-45]
   */
  readonly reserveBytes: number;
  /** Records in one write. Larger batches would only pay if that many callers waited. */
  readonly batchRecordsMax: number;
  /**
   * Records that wait to be written. Further records are refused and counted; records of authority
   * may be {@link AUTHORITY_WAITING_MAX} more.
   */
  readonly waitingRecordsMax: number;
}

/**
 * 16 MiB hold about 50,000 records of the usual size, which every start verifies in well under a
 * second. The reserve holds a segment of the usual size.
 */
export const AUDIT_LIMITS: AuditLimits = {
  bytesMax: 16 * 1024 * 1024,
  reserveBytes: 96 * 1024,
  batchRecordsMax: SEGMENT_RECORDS,
  waitingRecordsMax: 1024,
};

/** Records in one answer of `read`. A protocol line holds fewer, and so does a console page. */
export const READ_RECORDS_MAX = SEGMENT_RECORDS;

/** Records of authority that may wait to be written when no other record may. [AUD-13] */
export const AUTHORITY_WAITING_MAX = 256;

/**
 * Share of `bytesMax` that records of a source and severity may fill. The space above it is
 * reserved for more important records, and the last fifth for what the warden saw itself, because a
 * captured agent can call anything grave. Records of authority may fill the whole log: the last
 * sixteenth is theirs alone. [AUD-13] [AUD-26]
 */
export const FILL_RATIO_MAX: Readonly<Record<AuditSource, Readonly<Record<AuditSeverity, number>>>> = {
  agent: { info: 0.7, notice: 0.75, warning: 0.8, high: 0.8 },
  warden: { info: 0.8, notice: 0.875, warning: 0.9375, high: 0.9375 },
};

/**
 * Share of `bytesMax` for the leaf hashes of removed segments. Beyond it the oldest hashes are
 * removed. Then nothing can be proven from a size inside such a segment; from its ends it still
 * can.
 */
export const REMOVED_TILES_RATIO_MAX = 0.125;

/**
 * Epochs that are left unchanged after tampering: the first, which shows how it began, and the
 * last.
 */
export const SEALED_EPOCHS_KEPT_MAX = 2;

export const AUDIT_KEY_BYTES_MAX = 1024;
export const PENDING_EVENTS_BYTES_MAX = 2048;
