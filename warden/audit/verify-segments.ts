// Verification of every segment of an epoch against the stored hashes, the stored checkpoints and
// its neighbours. It holds one segment in memory at a time.
import type { AppendFiles } from "../../hal/ports.ts";
import {
  type AuditFinding,
  EMPTY_FRONTIER,
  endWalk,
  HASH_BYTES,
  rootOf,
  SEGMENT_BYTES_MAX,
  SEGMENT_RECORDS,
  segmentName,
  startWalk,
  tileName,
  type WalkedSegment,
  type WalkIdentity,
  walkSegment,
} from "./format/index.ts";
import type { EpochListing, SoundEpoch } from "./epoch.ts";
import type { StoredCheckpoints } from "./checkpoints.ts";
import { canStoreTiles, createTileReader, TILE_BYTES } from "./tiles.ts";

type Found = { readonly finding: AuditFinding };

/**
 * @throws Fault of {@link AppendFiles.read} for a file that cannot be read; `audit.tampered` for
 *   tiles that lack hashes.
 */
export async function verifySegments(
  files: AppendFiles,
  identity: WalkIdentity,
  listing: EpochListing,
  stored: StoredCheckpoints,
): Promise<Omit<SoundEpoch, "checkpoints"> | Found> {
  const { epoch } = identity;
  const first = (listing.segments[0] ?? 0) * SEGMENT_RECORDS;
  if (first > (stored.witnessed?.size ?? 0)) {
    // only witnessed entries are ever removed [AUD-11]
    const why = "the entries before the first segment are missing, and were never witnessed";
    return { finding: { epoch, segment: 0, part: "missing", entry: 0, until: first, why } };
  }
  const before = first === 0 ? EMPTY_FRONTIER : await createTileReader(files, epoch).frontierAt(first);
  const checkpoints = [stored.witnessed, stored.closed].filter((checkpoint) => checkpoint !== undefined);
  let walk = startWalk(identity, checkpoints, before);
  const segments = new Map<number, number>();
  let end: WalkedSegment | undefined;
  const parents = createParentTileReader(files, epoch);
  for (const number of listing.segments) {
    const last = number === listing.segments.at(-1);
    const bytes = (await files.read(segmentName(epoch, number), SEGMENT_BYTES_MAX)) ?? new Uint8Array();
    // a crash may have left a part of the last segment's tile
    const tile = last ? undefined : await files.read(tileName(epoch, 0, number), TILE_BYTES);
    const step = walkSegment(walk, { number, bytes, tile, last, decode: last });
    if ("finding" in step) return step;
    if (!last && (tile?.byteLength !== TILE_BYTES || !(await parents.has(number, rootOf(step.leaves)))))
      return { finding: treeFinding(epoch, number, "the hashes stored when it was closed are missing or changed") };
    walk = step.walk;
    end = step;
    if (step.header !== undefined) segments.set(number, step.validBytes);
  }
  const tree = walk.tree ?? EMPTY_FRONTIER;
  const missing = endWalk(walk, end?.tornBytes ?? 0) ?? (await hashesBeyondEnd(files, epoch, tree.size, listing.tiles.at(-1)));
  if (missing !== undefined) return { finding: missing };
  const full = end !== undefined && end.leaves.length === SEGMENT_RECORDS ? listing.segments.at(-1) : undefined;
  if (full !== undefined && !(await canStoreTiles(files, epoch, full, end?.leaves ?? [])))
    return { finding: treeFinding(epoch, full, "other hashes than those of its entries are stored") };
  const tail = tailOf(listing.segments.at(-1), end);
  return { tree, segments, tilesFrom: listing.tiles[0] ?? listing.segments[0] ?? 0, ...tail };
}

function tailOf(last: number | undefined, end: WalkedSegment | undefined): Pick<SoundEpoch, "open" | "torn" | "unstored"> {
  if (last === undefined || end === undefined) return { open: [], torn: undefined, unstored: undefined };
  const { leaves, validBytes, tornBytes, header } = end;
  // a file without a complete header is removed, and so is an empty one
  const torn = tornBytes > 0 || header === undefined ? { segment: last, validBytes, lostBytes: tornBytes } : undefined;
  const full = leaves.length === SEGMENT_RECORDS;
  return { open: full ? [] : leaves, torn, unstored: full ? { segment: last, leaves } : undefined };
}

/** The roots of closed segments on level 1. Holds only the tile that was read last. */
function createParentTileReader(files: AppendFiles, epoch: number): { has(segment: number, root: Uint8Array): Promise<boolean> } {
  let cached: { readonly number: number; readonly bytes: Uint8Array } | undefined;
  return {
    has: async (segment, root) => {
      const number = Math.floor(segment / SEGMENT_RECORDS);
      if (cached?.number !== number)
        cached = { number, bytes: (await files.read(tileName(epoch, 1, number), TILE_BYTES)) ?? new Uint8Array() };
      const at = (segment % SEGMENT_RECORDS) * HASH_BYTES;
      return Buffer.compare(cached.bytes.subarray(at, at + HASH_BYTES), root) === 0;
    },
  };
}

/** Finds hashes of segments that do not exist: somebody removed the segments. */
async function hashesBeyondEnd(
  files: AppendFiles,
  epoch: number,
  size: number,
  lastTile: number | undefined,
): Promise<AuditFinding | undefined> {
  const closed = Math.floor(size / SEGMENT_RECORDS);
  const parent = await files.read(tileName(epoch, 1, Math.floor(closed / SEGMENT_RECORDS)), TILE_BYTES);
  const hashes = Math.ceil((parent?.byteLength ?? 0) / HASH_BYTES);
  if ((lastTile ?? -1) < closed && hashes <= closed % SEGMENT_RECORDS) return undefined;
  const until = Math.max((lastTile ?? 0) + 1, closed + 1) * SEGMENT_RECORDS;
  const why = "the log ends early: hashes of later entries are stored";
  return { epoch, segment: closed, part: "missing", entry: size, until, why };
}

function treeFinding(epoch: number, segment: number, why: string): AuditFinding {
  const entry = segment * SEGMENT_RECORDS;
  return { epoch, segment, part: "tree", entry, until: entry + SEGMENT_RECORDS, why };
}
