// The state of the log in memory, and the room that the log takes on the disk. [AUD-11]
import type { SoundEpoch } from "./epoch.ts";
import {
  AUDIT_EVENTS,
  type AuditEventName,
  type Frontier,
  HASH_BYTES,
  isAuthority,
  SEGMENT_BYTES_MAX,
  SEGMENT_RECORDS,
  segmentName,
  tileName,
} from "./format/index.ts";
import type { AuditSigner } from "./key.ts";
import { type AuditLimits, FILL_RATIO_MAX, REMOVED_TILES_RATIO_MAX } from "./limits.ts";
import { TILE_BYTES, type UnstoredLeaves } from "./tiles.ts";

/** `length` is that of its file. */
export type FullSegment = NonNullable<SoundEpoch["unstored"]> & { readonly length: number };

/** Changed only under the log's mutex, and only after what it describes is durable. */
export interface LogState {
  readonly epoch: number;
  readonly signer: AuditSigner;
  tree: Frontier;
  /** Leaf hashes of the open segment. */
  open: readonly Uint8Array[];
  openBytes: number;
  /** Length of the open segment's file: what is behind `openBytes` is zeros. */
  openLength: number;
  /** Whether the disk had no space for zeros in the open segment: it is not asked again there. */
  reserveRefused: boolean;
  /** The segment that was filled last, until its zeros are cut off and its hashes are stored. */
  full: FullSegment | undefined;
  /** Bytes of each segment file, without the zeros at its end. */
  readonly segments: Map<number, number>;
  tilesFrom: number;
  witnessed: number;
  /** Size of the checkpoint of the last orderly close. */
  closedAt: number;
}

/**
 * Each segment costs its leaf hashes and one hash on the level above, at the latest when it is
 * closed.
 */
const HASHES_BYTES = TILE_BYTES + HASH_BYTES;

export function createLogState(epoch: number, signer: AuditSigner, sound: SoundEpoch): LogState {
  const openSegment = Math.floor(sound.tree.size / SEGMENT_RECORDS);
  const openBytes = sound.segments.get(openSegment) ?? 0;
  return {
    epoch,
    signer,
    tree: sound.tree,
    open: sound.open,
    openBytes,
    openLength: openBytes,
    reserveRefused: false,
    full: sound.unstored && { ...sound.unstored, length: sound.segments.get(sound.unstored.segment) ?? 0 },
    segments: new Map(sound.segments),
    tilesFrom: sound.tilesFrom,
    witnessed: sound.checkpoints.witnessed?.size ?? 0,
    closedAt: sound.checkpoints.closed?.size ?? 0,
  };
}

export function openSegmentOf(log: LogState): number {
  return Math.floor(log.tree.size / SEGMENT_RECORDS);
}

export function unstoredOf(log: LogState): UnstoredLeaves {
  return { openSegment: openSegmentOf(log), open: log.open, full: log.full };
}

/** Bytes of the epoch's files, including the hashes that the open segment will need. */
export function usedBytes(log: LogState): number {
  const segments = [...log.segments.values()].reduce((sum, bytes) => sum + bytes, 0);
  return segments + (openSegmentOf(log) + 1 - log.tilesFrom) * HASHES_BYTES;
}

/**
 * [AUD-45] Zeros to write behind the next `bytes` of the open segment, which then has `records`
 * records. None where `bytes` fit into those that are there, and none for a segment that is full.
 * With them the log stays within its bound. That records of any kind may not fill all of it is no
 * matter: zeros are what records of every kind go into.
 */
export function reserveFor(log: LogState, limits: AuditLimits, bytes: number, records: number): number {
  const end = log.openBytes + bytes;
  if (end <= log.openLength || log.reserveRefused || records >= SEGMENT_RECORDS) return 0;
  return Math.max(0, Math.min(limits.reserveBytes, SEGMENT_BYTES_MAX - end, limits.bytesMax - usedBytes(log) - bytes));
}

/** Whether a record of `event` may fill the log up to `bytes`. */
export function admits(limits: AuditLimits, event: AuditEventName, bytes: number): boolean {
  const { source, severity } = AUDIT_EVENTS[event];
  return bytes <= limits.bytesMax * (isAuthority(event) ? 1 : FILL_RATIO_MAX[source][severity]);
}

/** Whether `bytes` leave room for every kind of record, the least important included. */
export function admitsAll(limits: AuditLimits, bytes: number): boolean {
  return bytes <= limits.bytesMax * FILL_RATIO_MAX.agent.info;
}

/**
 * The next file to remove when there is no room: the oldest witnessed segment, or before it the
 * oldest hashes of removed segments when these take more than their share. The last segment file
 * stays even when it is witnessed, because the log continues from it.
 * @returns the file's name and the change of the log that goes with its removal; undefined when
 *   nothing may be removed.
 */
export function nextRemovable(
  log: LogState,
  limits: AuditLimits,
): { readonly name: string; readonly removed: () => void } | undefined {
  const numbers = [...log.segments.keys()];
  const oldest = Math.min(...numbers);
  const removedTiles = (numbers.length === 0 ? 0 : oldest - log.tilesFrom) * TILE_BYTES;
  if (removedTiles > limits.bytesMax * REMOVED_TILES_RATIO_MAX) {
    const tile = log.tilesFrom;
    return { name: tileName(log.epoch, 0, tile), removed: () => void (log.tilesFrom = tile + 1) };
  }
  const witnessed = (oldest + 1) * SEGMENT_RECORDS <= log.witnessed;
  if (numbers.length < 2 || !witnessed || log.full?.segment === oldest) return undefined;
  return { name: segmentName(log.epoch, oldest), removed: () => void log.segments.delete(oldest) };
}
