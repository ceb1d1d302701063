// The Merkle tree of RFC 6962 section 2.1: hashes, and proofs as RFC 9162 section 2.1.4 verifies
// them. Pure. [AUD-4] [AUD-5]
import { hash as digest } from "node:crypto";
import { Fault } from "../../../hal/fault.ts";

export const HASH_BYTES = 32;
/** A proof between two sizes below 2^53 never has more (C2SP tlog-witness sets the same bound). */
export const PROOF_HASHES_MAX = 63;

// RFC 6962 section 2.1: leaves and nodes are hashed differently, so that a node cannot pass for a
// leaf
const LEAF_PREFIX = Uint8Array.of(0x00);
const NODE_PREFIX = Uint8Array.of(0x01);

/** Root of the tree with no leaves: SHA-256 of nothing. */
export function emptyRoot(): Uint8Array {
  return digest("sha256", "", "buffer");
}

export function leafHash(record: Uint8Array): Uint8Array {
  return digest("sha256", Buffer.concat([LEAF_PREFIX, record]), "buffer");
}

export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return digest("sha256", Buffer.concat([NODE_PREFIX, left, right]), "buffer");
}

/**
 * The largest power of two below `size`, which must be at least 2. Bit operators are not used,
 * because they end at 2^31.
 */
export function splitPoint(size: number): number {
  let split = 1;
  while (split * 2 < size) split *= 2;
  return split;
}

/** Hash of the leaves from `start` to `end` (excluded), by their leaf hashes. */
export function rootOf(leaves: readonly Uint8Array[], start = 0, end = leaves.length): Uint8Array {
  const size = end - start;
  if (size === 0) return emptyRoot();
  if (size === 1) {
    const leaf = leaves[start];
    if (leaf === undefined) throw new Fault("assert.broken", `no leaf ${start} of ${leaves.length}`);
    return leaf;
  }
  const split = start + splitPoint(size);
  return nodeHash(rootOf(leaves, start, split), rootOf(leaves, split, end));
}

/**
 * The compact form of a tree: the roots of its full subtrees, largest first, at most 53 hashes. An
 * append needs nothing else. It is an immutable value.
 */
export interface Frontier {
  readonly size: number;
  readonly roots: readonly Uint8Array[];
}

export const EMPTY_FRONTIER: Frontier = { size: 0, roots: [] };

export function appendLeaf(frontier: Frontier, leaf: Uint8Array): Frontier {
  const roots = [...frontier.roots];
  let hash = leaf;
  for (let below = frontier.size; below % 2 === 1; below = (below - 1) / 2) {
    const left = roots.pop();
    if (left === undefined) throw new Fault("assert.broken", `a frontier of size ${frontier.size} has too few roots`);
    hash = nodeHash(left, hash);
  }
  roots.push(hash);
  return { size: frontier.size + 1, roots };
}

export function frontierRoot(frontier: Frontier): Uint8Array {
  const { roots } = frontier;
  const last = roots.at(-1);
  if (last === undefined) return emptyRoot();
  return roots.slice(0, -1).reduceRight((right, left) => nodeHash(left, right), last);
}

/** The leaves from `start` to `end` (excluded). */
export interface LeafRange {
  readonly start: number;
  readonly end: number;
}

/**
 * The ranges whose roots make the consistency proof from `oldSize` to `newSize`, in the order of
 * the proof (RFC 9162 section 2.1.4.1). Without hashes, so that the store of the tree decides how
 * to get them. Empty for equal sizes and for the empty tree, where there is nothing to prove.
 * @throws Fault `proof.invalid` for sizes out of order.
 */
export function consistencyRanges(oldSize: number, newSize: number): readonly LeafRange[] {
  if (!Number.isSafeInteger(oldSize) || !Number.isSafeInteger(newSize) || oldSize < 0 || oldSize > newSize)
    throw new Fault("proof.invalid", `prove that size ${newSize} continues size ${oldSize}: sizes out of order`);
  if (oldSize === 0) return [];
  const ranges: LeafRange[] = []; // from the top down; the proof goes from the bottom up
  let start = 0;
  let end = newSize;
  while (oldSize < end) {
    const split = start + splitPoint(end - start);
    if (oldSize <= split) {
      ranges.push({ start: split, end });
      end = split;
    } else {
      ranges.push({ start, end: split });
      start = split;
    }
  }
  // otherwise the verifier has the root: it is the old one
  if (start > 0) ranges.push({ start, end });
  return ranges.reverse();
}

/**
 * [AUD-5] Checks that the tree of `newSize` and `newRoot` starts with the one of `oldSize` and
 * `oldRoot`: RFC 9162 section 2.1.4.2.
 * @throws Fault `proof.invalid` when it does not, or the proof has another length than those sizes
 *   need.
 */
export function verifyConsistency(
  oldSize: number,
  oldRoot: Uint8Array,
  newSize: number,
  newRoot: Uint8Array,
  proof: readonly Uint8Array[],
): void {
  const refuse = (why: string): never => {
    throw new Fault("proof.invalid", `consistency proof from size ${oldSize} to ${newSize} refused: ${why}`);
  };
  if (!Number.isSafeInteger(oldSize) || !Number.isSafeInteger(newSize) || oldSize < 0 || oldSize > newSize)
    refuse("sizes out of order");
  if (proof.length > PROOF_HASHES_MAX || proof.some((hash) => hash.byteLength !== HASH_BYTES)) refuse("malformed");
  if (oldSize === newSize) {
    if (proof.length > 0) refuse("longer than needed");
    if (!same(oldRoot, newRoot)) refuse("same size, other root");
    return;
  }
  if (oldSize === 0) {
    if (proof.length > 0) refuse("longer than needed");
    if (!same(oldRoot, emptyRoot())) refuse("the empty tree has another root");
    return;
  }
  const path = isPowerOfTwo(oldSize) ? [oldRoot, ...proof] : [...proof];
  let fn = oldSize - 1;
  let sn = newSize - 1;
  while (fn % 2 === 1) {
    fn = (fn - 1) / 2;
    sn = (sn - (sn % 2)) / 2;
  }
  const first = path.shift();
  if (first === undefined) return refuse("too short");
  let fr = first;
  let sr = first;
  for (const hash of path) {
    if (sn === 0) refuse("longer than needed");
    if (fn % 2 === 1 || fn === sn) {
      fr = nodeHash(hash, fr);
      sr = nodeHash(hash, sr);
      while (fn % 2 === 0 && fn !== 0) {
        fn /= 2;
        sn = (sn - (sn % 2)) / 2;
      }
    } else {
      sr = nodeHash(sr, hash);
    }
    fn = (fn - (fn % 2)) / 2;
    sn = (sn - (sn % 2)) / 2;
  }
  if (sn !== 0) refuse("too short");
  if (!same(fr, oldRoot)) refuse("it does not start with the old tree");
  if (!same(sr, newRoot)) refuse("it does not end in the new tree");
}

function isPowerOfTwo(size: number): boolean {
  let power = 1;
  while (power < size) power *= 2;
  return power === size;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(b);
}
