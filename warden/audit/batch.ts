// One write of the audit log: its records numbered, encoded and framed. Pure.
import { Fault } from "../../hal/fault.ts";
import {
  appendLeaf,
  AUDIT_EVENTS,
  AUDIT_SEVERITIES,
  type AuditEntry,
  auditRecord,
  encodeAuditRecord,
  encodeFrame,
  encodeSegmentHeader,
  type Frontier,
  isAuthority,
  leafHash,
  SEGMENT_RECORDS,
} from "./format/index.ts";
import type { AuditLimits } from "./limits.ts";
import { admits, type LogState, openSegmentOf, usedBytes } from "./state.ts";

/** An entry with the time at which it was reported, which is earlier than the time of its write. */
export interface StampedEntry {
  readonly entry: AuditEntry;
  readonly atMs: number;
  readonly monotonicMs: number;
  readonly clockSynced: boolean;
}

export interface Batch<T extends StampedEntry> {
  readonly bytes: Uint8Array;
  readonly leaves: readonly Uint8Array[];
  readonly tree: Frontier;
  readonly taken: readonly { readonly item: T; readonly seq: number }[];
  /** Entries for which the log has no room, given their source and severity. [AUD-25] */
  readonly dropped: readonly T[];
  /** Entries that no record can hold. */
  readonly refused: readonly { readonly item: T; readonly fault: Fault }[];
}

/**
 * The ranks of records, least important first: they are dropped in this order. Authority is above
 * every severity. [AUD-13]
 */
export const AUDIT_RANKS = [...AUDIT_SEVERITIES, "authority"] as const;
export type AuditRank = (typeof AUDIT_RANKS)[number];

export function atLeast({ event }: AuditEntry, lowest: AuditRank): boolean {
  const rank: AuditRank = isAuthority(event) ? "authority" : AUDIT_EVENTS[event].severity;
  return AUDIT_RANKS.indexOf(rank) >= AUDIT_RANKS.indexOf(lowest);
}

/** @param items at most as many as the open segment has room for. */
export function composeBatch<T extends StampedEntry>(
  log: LogState,
  limits: AuditLimits,
  bootId: string,
  items: readonly T[],
): Batch<T> {
  const frames: Uint8Array[] = [];
  const leaves: Uint8Array[] = [];
  const taken: { item: T; seq: number }[] = [];
  const dropped: T[] = [];
  const refused: { item: T; fault: Fault }[] = [];
  const used = usedBytes(log);
  let bytes = 0;
  let { tree } = log;
  const add = (frame: Uint8Array): void => {
    frames.push(frame);
    bytes += frame.byteLength;
  };
  if (log.openBytes === 0) add(encodeSegmentHeader(headerPlace(log)));
  for (const item of items) {
    const { entry, atMs, monotonicMs, clockSynced } = item;
    const seq = tree.size;
    try {
      const record = encodeAuditRecord(auditRecord(entry, { seq, atMs, monotonicMs, bootId, clockSynced }));
      const frame = encodeFrame(record, frames.length === 0);
      if (!admits(limits, entry.event, used + bytes + frame.byteLength)) {
        dropped.push(item);
        continue;
      }
      add(frame);
      const leaf = leafHash(record);
      leaves.push(leaf);
      tree = appendLeaf(tree, leaf);
      taken.push({ item, seq });
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      refused.push({ item, fault: error });
    }
  }
  return { bytes: Buffer.concat(frames), leaves, tree, taken, dropped, refused };
}

export function roomIn(log: LogState): number {
  return SEGMENT_RECORDS - log.open.length;
}

function headerPlace(log: LogState): Parameters<typeof encodeSegmentHeader>[0] {
  const { name, id } = log.signer.verifier;
  return {
    epoch: log.epoch,
    deviceId: name.slice(name.lastIndexOf("/") + 1),
    keyId: Buffer.from(id).toString("hex"),
    segment: openSegmentOf(log),
    before: log.tree,
  };
}
