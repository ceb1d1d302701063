// The stored hashes of closed segments, and the roots and proofs made of them. As in
// c2sp.org/tlog-tiles, entry i of level L is the root of 256^L leaves. Full tiles are append files;
// the leaf hashes of the open segment are in memory. No proof needs a record.
import { Fault } from "../../hal/fault.ts";
import type { AppendFiles } from "../../hal/ports.ts";
import {
  consistencyRanges,
  type Frontier,
  frontierRoot,
  HASH_BYTES,
  nodeHash,
  rootOf,
  SEGMENT_RECORDS,
  splitPoint,
  tileHashes,
  tileName,
} from "./format/index.ts";

export const TILE_BYTES = SEGMENT_RECORDS * HASH_BYTES;
/** Height of a tile: 2^8 entries. */
const TILE_HEIGHT = 8;
/** A tile of level 6 holds 2^56 leaves, more than JavaScript's safe integers can count. */
const LEVEL_MAX = 6;

/** Hash of the full subtree `index` of `height`, whose first leaf is index * 2^height. */
type NodeAt = (height: number, index: number) => Promise<Uint8Array>;

export interface TileReader {
  /**
   * @throws Fault `audit.removed` when leaf hashes that it needs were removed; `audit.tampered`
   *   when hashes are missing or malformed.
   */
  frontierAt(size: number): Promise<Frontier>;
  rootAt(size: number): Promise<Uint8Array>;
  /** Leaf hashes of a segment. */
  leavesOf(segment: number): Promise<readonly Uint8Array[]>;
  /** [AUD-5] The consistency proof from `oldSize` to `size`. */
  proof(oldSize: number, size: number): Promise<readonly Uint8Array[]>;
}

/**
 * The hashes that are only in memory: those of the open segment, and those of the segment before it
 * until they are stored.
 */
export interface UnstoredLeaves {
  readonly openSegment: number;
  readonly open: readonly Uint8Array[];
  readonly full: { readonly segment: number; readonly leaves: readonly Uint8Array[] } | undefined;
}

/**
 * A view of the tree through the tiles of `epoch`. It caches the tiles that it has read, so create
 * a new one for each use.
 */
export function createTileReader(files: AppendFiles, epoch: number, unstored?: UnstoredLeaves): TileReader {
  const cache = new Map<string, readonly Uint8Array[]>();
  const stored = async (level: number, number: number): Promise<readonly Uint8Array[]> => {
    const bytes = await files.read(tileName(epoch, level, number), TILE_BYTES);
    if (bytes === undefined && level === 0) {
      const first = number * SEGMENT_RECORDS;
      throw new Fault(
        "audit.removed",
        `the hashes of entries ${first} to ${first + SEGMENT_RECORDS - 1} were removed: they were witnessed`,
      );
    }
    return tileHashes(bytes ?? new Uint8Array());
  };
  const tile = async (level: number, number: number): Promise<readonly Uint8Array[]> => {
    if (level === 0 && number === unstored?.openSegment) return unstored.open;
    if (level === 0 && number === unstored?.full?.segment) return unstored.full.leaves;
    const name = tileName(epoch, level, number);
    const known = cache.get(name);
    if (known !== undefined) return known;
    const hashes = await stored(level, number);
    const below = level === 0 ? undefined : entryToCome(unstored?.full?.segment, level, number, hashes.length);
    const all = below === undefined ? hashes : [...hashes, rootOf(await tile(level - 1, below))];
    cache.set(name, all);
    return all;
  };
  const nodeAt: NodeAt = async (height, index) => {
    const level = Math.min(Math.floor(height / TILE_HEIGHT), LEVEL_MAX);
    const width = 2 ** (height - level * TILE_HEIGHT);
    const number = Math.floor((index * width) / SEGMENT_RECORDS);
    const start = (index * width) % SEGMENT_RECORDS;
    const hashes = await tile(level, number);
    if (hashes.length < start + width) {
      const what = `"${tileName(epoch, level, number)}" has ${hashes.length} hashes, expected at least ${start + width}`;
      throw new Fault("audit.tampered", `read the audit tree: ${what}`);
    }
    return rootOf(hashes, start, start + width);
  };
  const frontierAt = async (size: number): Promise<Frontier> => {
    const roots: Uint8Array[] = [];
    for (const { height, index } of fullSubtrees(size)) roots.push(await nodeAt(height, index));
    return { size, roots };
  };
  return {
    frontierAt,
    leavesOf: (segment) => tile(0, segment),
    rootAt: async (size) => frontierRoot(await frontierAt(size)),
    proof: async (oldSize, size) => {
      const hashes: Uint8Array[] = [];
      for (const { start, end } of consistencyRanges(oldSize, size)) hashes.push(await rangeRoot(nodeAt, start, end));
      return hashes;
    },
  };
}

/**
 * While the full segment `segment` is not stored, the tiles above it lack one entry each.
 * @returns the tile whose root is entry `length` of tile `number` of `level`, if it is one of them.
 */
function entryToCome(segment: number | undefined, level: number, number: number, length: number): number | undefined {
  let index = segment;
  for (let below = 1; below < level && index !== undefined; below++)
    index = index % SEGMENT_RECORDS === SEGMENT_RECORDS - 1 ? Math.floor(index / SEGMENT_RECORDS) : undefined;
  return index === number * SEGMENT_RECORDS + length ? index : undefined;
}

/**
 * The full subtrees of a tree of `size`, largest first: one for each 1 in the binary form of
 * `size`.
 */
function fullSubtrees(size: number): readonly { readonly height: number; readonly index: number }[] {
  const subtrees: { readonly height: number; readonly index: number }[] = [];
  let rest = size;
  for (let height = 0; rest > 0; height++) {
    const odd = rest % 2 === 1;
    rest = Math.floor(rest / 2);
    if (odd) subtrees.push({ height, index: rest * 2 });
  }
  return subtrees.reverse();
}

/** `start` is a multiple of the smallest power of two that holds the range, as in every proof. */
async function rangeRoot(nodeAt: NodeAt, start: number, end: number): Promise<Uint8Array> {
  const width = end - start;
  const height = Math.log2(width);
  if (Number.isInteger(height) && 2 ** height === width) return await nodeAt(height, start / width);
  const split = start + splitPoint(width);
  return nodeHash(await rangeRoot(nodeAt, start, split), await rangeRoot(nodeAt, split, end));
}

/** Hashes that belong at offset `at` of a tile's file, as its end. */
interface TilePart {
  readonly name: string;
  readonly at: number;
  readonly bytes: Uint8Array;
}

/**
 * Stores the hashes of the closed segment `number`: its own tile, its root on the level above, and
 * so on for every tile that this fills. Repeating it does no harm, and completes what a crash left
 * unfinished.
 * @throws Fault `audit.tampered` where other hashes are stored already; those of {@link
 *   AppendFiles}.
 */
export async function storeTiles(
  files: AppendFiles,
  epoch: number,
  number: number,
  leaves: readonly Uint8Array[],
): Promise<void> {
  for await (const { name, at, bytes } of partsOf(files, epoch, number, leaves)) {
    const stored = (await files.read(name, TILE_BYTES)) ?? new Uint8Array();
    if (!isUnfinishedAppend(stored, at, bytes))
      throw new Fault("audit.tampered", `store the audit tree: "${name}" has other hashes than the entries give`);
    const firstWrong = stored.subarray(at).findIndex((byte, i) => byte !== bytes[i]);
    const rightBytes = firstWrong < 0 ? stored.byteLength - at : firstWrong;
    if (firstWrong >= 0) await files.truncate(name, at + rightBytes);
    if (rightBytes < bytes.byteLength) await files.append(name, bytes.subarray(rightBytes));
  }
}

/**
 * Whether {@link storeTiles} would find only its own work: done, unfinished or not begun. Changes
 * nothing.
 */
export async function canStoreTiles(
  files: AppendFiles,
  epoch: number,
  number: number,
  leaves: readonly Uint8Array[],
): Promise<boolean> {
  for await (const { name, at, bytes } of partsOf(files, epoch, number, leaves))
    if (!isUnfinishedAppend((await files.read(name, TILE_BYTES)) ?? new Uint8Array(), at, bytes)) return false;
  return true;
}

async function* partsOf(
  files: AppendFiles,
  epoch: number,
  number: number,
  leaves: readonly Uint8Array[],
): AsyncGenerator<TilePart> {
  yield { name: tileName(epoch, 0, number), at: 0, bytes: Buffer.concat(leaves) };
  let root = rootOf(leaves);
  let index = number;
  for (let level = 1; level <= LEVEL_MAX; level++) {
    const name = tileName(epoch, level, Math.floor(index / SEGMENT_RECORDS));
    const at = index % SEGMENT_RECORDS;
    yield { name, at: at * HASH_BYTES, bytes: root };
    if (at < SEGMENT_RECORDS - 1) return;
    const stored = tileHashes((await files.read(name, TILE_BYTES)) ?? new Uint8Array());
    root = rootOf([...stored.slice(0, at), root]);
    index = Math.floor(index / SEGMENT_RECORDS);
  }
}

/** A power cut leaves parts of an append, and zeros. Anything else was written by somebody else. */
function isUnfinishedAppend(stored: Uint8Array, at: number, bytes: Uint8Array): boolean {
  const present = stored.subarray(at);
  if (stored.byteLength < at || present.byteLength > bytes.byteLength) return false;
  return present.every((byte, i) => byte === 0 || byte === bytes[i]);
}
