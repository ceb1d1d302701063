// Bounds of the audit log.
import { type AuditSeverity, type AuditSource, SEGMENT_RECORDS } from "./format/index.ts";

export interface AuditLimits {
  /** Bytes of an epoch's segments and tiles together, the open segment's tile included. [AUD-11] */
  readonly bytesMax: number;
  /** Records in one write. Larger batches only pay when callers wait in such numbers. */
  readonly batchRecordsMax: number;
  /** Records waiting to be written; whoever comes then is refused, and counted. */
  readonly waitingRecordsMax: number;
}

/** About 50,000 records of the usual size: checked in well under a second at every start. */
export const AUDIT_LIMITS: AuditLimits = {
  bytesMax: 16 * 1024 * 1024,
  batchRecordsMax: SEGMENT_RECORDS,
  waitingRecordsMax: 1024,
};

/** Records in one answer of `read`: a protocol line holds fewer, a console page too. */
export const READ_RECORDS_MAX = SEGMENT_RECORDS;

/**
 * Share of `bytesMax` that may be filled with records of a source and severity. What is above is kept for those that matter more; the last fifth for what the warden
 * saw itself, for a captured agent calls grave what it likes. [AUD-11]
 */
export const FILL_RATIO_MAX: Readonly<Record<AuditSource, Readonly<Record<AuditSeverity, number>>>> = {
  agent: { info: 0.7, notice: 0.75, warning: 0.8, high: 0.8 },
  warden: { info: 0.8, notice: 0.9, warning: 1, high: 1 },
};

/**
 * Share of `bytesMax` for the leaf hashes of removed segments. Beyond it the oldest go: from a size inside such a segment nothing can be proven then, from its
 * ends it still can.
 */
export const REMOVED_TILES_RATIO_MAX = 0.125;

/** Epochs left as they lie after tampering: the first, which shows how it began, and the last. */
export const SEALED_EPOCHS_KEPT_MAX = 2;

export const AUDIT_KEY_BYTES_MAX = 1024;
export const PENDING_EVENTS_BYTES_MAX = 2048;
