// An epoch of the log: one tree and one key with files of their own. Here are the files of an epoch
// by name, and what a sound epoch consists of.
import { type Frontier, parseAuditFile } from "./format/index.ts";
import type { StoredCheckpoints } from "./checkpoints.ts";

/** The files of an epoch, by number. */
export interface EpochListing {
  readonly segments: readonly number[];
  /** Segments whose leaf hashes are stored. */
  readonly tiles: readonly number[];
}

/** An epoch as its files hold it. */
export interface SoundEpoch {
  readonly tree: Frontier;
  /** Leaf hashes of the segment after the last full one. */
  readonly open: readonly Uint8Array[];
  /** Bytes of every segment; of the last one, the valid bytes only. */
  readonly segments: ReadonlyMap<number, number>;
  /** The lowest segment whose leaf hashes are stored. */
  readonly tilesFrom: number;
  readonly checkpoints: StoredCheckpoints;
  /** An unfinished write at the end. With `validBytes` 0 not even the header was complete. */
  readonly torn: { readonly segment: number; readonly validBytes: number; readonly lostBytes: number } | undefined;
  /**
   * Leaf hashes of the last segment when it is full: a crash may have come before they were stored.
   */
  readonly unstored: { readonly segment: number; readonly leaves: readonly Uint8Array[] } | undefined;
}

export function listEpoch(names: readonly string[], epoch: number): EpochListing {
  const segments: number[] = [];
  const tiles: number[] = [];
  for (const name of names) {
    const file = parseAuditFile(name);
    if (file?.epoch !== epoch) continue;
    if (file.kind === "segment") segments.push(file.number);
    else if (file.level === 0) tiles.push(file.number);
  }
  return { segments: segments.sort((a, b) => a - b), tiles: tiles.sort((a, b) => a - b) };
}

/** The epoch that is written to: the last one that has files. */
export function lastEpoch(names: readonly string[]): number {
  return names.reduce((last, name) => Math.max(last, parseAuditFile(name)?.epoch ?? 0), 0);
}
