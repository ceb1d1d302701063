// Verification of the log segment by segment: the one place that decides what is sound, torn or
// tampered with. The warden's start and the offline verifier both use it. Pure. [AUD-22]
import { asFault } from "../../../hal/fault.ts";
import { SEGMENT_RECORDS, segmentName } from "./files.ts";
import type { Checkpoint } from "./note.ts";
import { decodeAuditRecord } from "./record.ts";
import { headerFrontier, readSegment, type SegmentHeader } from "./segment.ts";
import { appendLeaf, EMPTY_FRONTIER, type Frontier, frontierRoot, HASH_BYTES, leafHash } from "./tree.ts";

/**
 * What is wrong, and with which entries. A frame or a stored hash identifies one entry (`until` is
 * `entry` + 1); a root only gives a range.
 */
export interface AuditFinding {
  readonly epoch: number;
  readonly segment: number;
  readonly part: "header" | "record" | "missing" | "tree" | "key";
  /** Number of the first entry that cannot be trusted. */
  readonly entry: number;
  /** End (excluded) of the entries among which the bad one is. */
  readonly until: number;
  readonly why: string;
}

/** The log that the files should hold. */
export interface WalkIdentity {
  readonly epoch: number;
  readonly deviceId: string;
  readonly keyId: string;
}

/** The progress of a verification, as an immutable value. */
export interface Walk {
  readonly identity: WalkIdentity;
  /** Signed checkpoints of this log, by size. The tree must pass through each. */
  readonly checkpoints: readonly Checkpoint[];
  /**
   * The tree so far; undefined before the first segment, when nothing is known of the entries
   * before it.
   */
  readonly tree: Frontier | undefined;
  /** A checkpoint that was passed covers every entry below this. */
  readonly vouched: number;
}

export interface SegmentInput {
  readonly number: number;
  readonly bytes: Uint8Array;
  /** The leaf hashes stored when the segment was closed, if there are any. */
  readonly tile: Uint8Array | undefined;
  /** Whether it is the last segment: only there a torn tail is an accident. */
  readonly last: boolean;
  /**
   * Decode every record instead of only hashing it. Not needed where `tile` is known to be right.
   */
  readonly decode: boolean;
}

export interface WalkedSegment {
  readonly walk: Walk;
  readonly header: SegmentHeader | undefined;
  readonly leaves: readonly Uint8Array[];
  readonly validBytes: number;
  /** Bytes of a damaged write after the last valid frame of the last segment. */
  readonly tornBytes: number;
}

export type WalkStep = { readonly finding: AuditFinding } | WalkedSegment;

/** @param before the tree before the first segment, if it is known from elsewhere. */
export function startWalk(identity: WalkIdentity, checkpoints: readonly Checkpoint[], before: Frontier | undefined): Walk {
  const sorted = [...checkpoints].sort((a, b) => a.size - b.size);
  return { identity, checkpoints: sorted, tree: before, vouched: before?.size ?? 0 };
}

export function walkSegment(walk: Walk, input: SegmentInput): WalkStep {
  const { number, bytes, last } = input;
  const first = number * SEGMENT_RECORDS;
  const finding = (part: AuditFinding["part"], entry: number, why: string, until = entry + 1): WalkStep => ({
    finding: { epoch: walk.identity.epoch, segment: number, part, entry, until, why },
  });
  if (walk.tree !== undefined && walk.tree.size < first)
    return finding("missing", walk.tree.size, "the entries before this segment are missing", first);
  const { header, records, validBytes, tornBytes, damage } = readSegment(bytes);
  if (header === undefined) {
    const torn = last && damage?.kind !== "broken";
    if (!torn) return finding("header", first, `the segment's header is damaged: ${damage?.why ?? "the file is empty"}`);
    return { walk, header, leaves: [], validBytes: 0, tornBytes };
  }
  const wrong = wrongHeader(header, walk, number);
  if (wrong !== undefined) return finding("header", first, wrong);
  const followed = followRecords({ ...walk, tree: headerFrontier(header) }, input, records);
  if ("finding" in followed) return followed;
  const next = first + records.length;
  if (damage !== undefined && !(last && damage.kind === "torn")) return finding("record", next, damage.why);
  if (!last && records.length < SEGMENT_RECORDS)
    return finding("missing", next, "the segment ends early, and another follows", first + SEGMENT_RECORDS);
  // [AUD-46] they are cut off before the next segment begins
  if (!last && bytes.byteLength > validBytes) return finding("record", next - 1, "zeros follow it, and another segment");
  return { ...followed, header, validBytes, tornBytes };
}

/**
 * The finding after the last segment: a checkpoint beyond the end means that entries were removed
 * or damaged.
 * @param tornBytes those of the last segment. If they were signed, they were durable once.
 */
export function endWalk(walk: Walk, tornBytes: number): AuditFinding | undefined {
  const size = walk.tree?.size ?? 0;
  const beyond = walk.checkpoints.findLast((checkpoint) => checkpoint.size > size);
  if (beyond === undefined) return undefined;
  const at = { epoch: walk.identity.epoch, segment: Math.floor(size / SEGMENT_RECORDS), entry: size };
  if (tornBytes > 0)
    return { ...at, part: "record", until: size + 1, why: `it is damaged, and a signed checkpoint has ${beyond.size} entries` };
  const why = `the log ends before entry ${size}, and a signed checkpoint has ${beyond.size} entries`;
  return { ...at, part: "missing", until: beyond.size, why };
}

export function describeFinding(finding: AuditFinding): string {
  const { epoch, segment, part, entry, until, why } = finding;
  const where = `${segmentName(epoch, segment)}${part === "header" ? ", header" : ""}`;
  const which = until === entry + 1 ? `entry ${entry}` : `an entry from ${entry} to ${until - 1}`;
  return `audit log tampered with or damaged at ${which} (${where}): ${why}`;
}

function wrongHeader(header: SegmentHeader, walk: Walk, number: number): string | undefined {
  const { identity, tree } = walk;
  const claimed = headerFrontier(header);
  if (header.deviceId !== identity.deviceId)
    return `the header names device "${header.deviceId}", expected "${identity.deviceId}"`;
  if (header.epoch !== identity.epoch) return `the header names epoch ${header.epoch}, expected ${identity.epoch}`;
  if (header.keyId !== identity.keyId) return `the header names audit key ${header.keyId}, expected ${identity.keyId}`;
  if (header.segment !== number) return `the header names segment ${header.segment}, expected ${number}`;
  if (header.first !== number * SEGMENT_RECORDS)
    return `the header starts at entry ${header.first}, expected ${number * SEGMENT_RECORDS}`;
  if (claimed.roots.length !== onesIn(header.first)) return "the header has another number of subtrees than its size needs";
  const root = Buffer.from(frontierRoot(claimed)).toString("base64");
  if (header.root !== root) return "the header's root is not that of its subtrees";
  const witnessed = walk.checkpoints.find((checkpoint) => checkpoint.size === header.first && header.first > 0);
  if (witnessed !== undefined && !same(witnessed.root, frontierRoot(claimed)))
    return "the header's root is not that of a signed checkpoint of its size";
  if (number === 0 || tree !== undefined) {
    const before = tree ?? EMPTY_FRONTIER;
    if (root !== Buffer.from(frontierRoot(before)).toString("base64"))
      return "the header's root is not that of the entries before it";
    if (!before.roots.every((hash, i) => same(hash, claimed.roots[i])))
      return "the header's subtrees are not those of the entries before it";
  }
  return undefined;
}

function followRecords(
  walk: Walk & { readonly tree: Frontier },
  input: SegmentInput,
  records: readonly Uint8Array[],
): { readonly finding: AuditFinding } | { readonly walk: Walk; readonly leaves: readonly Uint8Array[] } {
  const { number, tile, decode } = input;
  const leaves: Uint8Array[] = [];
  let { tree } = walk;
  let { vouched } = walk;
  for (const record of records) {
    const entry = tree.size;
    const leaf = leafHash(record);
    const stored = tile?.subarray(leaves.length * HASH_BYTES, (leaves.length + 1) * HASH_BYTES);
    const why =
      stored !== undefined && !same(leaf, stored)
        ? "it is not the record whose hash was stored"
        : decode
          ? wrongRecord(record, entry)
          : undefined;
    if (why !== undefined)
      return { finding: { epoch: walk.identity.epoch, segment: number, part: "record", entry, until: entry + 1, why } };
    leaves.push(leaf);
    tree = appendLeaf(tree, leaf);
    for (const checkpoint of walk.checkpoints) {
      if (checkpoint.size !== tree.size) continue;
      if (!same(checkpoint.root, frontierRoot(tree))) {
        const changed = `the tree of ${tree.size} entries is not the one of a signed checkpoint`;
        return {
          finding: { epoch: walk.identity.epoch, segment: number, part: "tree", entry: vouched, until: tree.size, why: changed },
        };
      }
      vouched = tree.size;
    }
  }
  return { walk: { ...walk, tree, vouched }, leaves };
}

function wrongRecord(record: Uint8Array, entry: number): string | undefined {
  try {
    const { seq } = decodeAuditRecord(record);
    return seq === entry ? undefined : `its number is ${seq}`;
  } catch (error) {
    return asFault(error, "schema.invalid", "read it").message;
  }
}

/** The number of full subtrees of a tree of `size`: the ones in its binary form. */
function onesIn(size: number): number {
  let ones = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) ones += rest % 2;
  return ones;
}

function same(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && Buffer.compare(a, b) === 0;
}
