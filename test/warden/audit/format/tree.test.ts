// The tree against the vectors of the certificate-transparency projects, and against a second
// implementation of RFC 6962.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "tap";
import {
  appendLeaf,
  consistencyRanges,
  EMPTY_FRONTIER,
  emptyRoot,
  type Frontier,
  frontierRoot,
  leafHash,
  PROOF_HASHES_MAX,
  rootOf,
  splitPoint,
  verifyConsistency,
} from "../../../../warden/audit/format/index.ts";
import { treeVectors } from "../../../lab/runner/audit-vectors.ts";

const vectors = treeVectors(readFileSync(new URL("../../../vectors/audit/rfc6962-tree.json", import.meta.url), "utf8"));
const known = vectors.leaves.map((leaf) => leafHash(Buffer.from(leaf, "hex")));

const SIZE_MAX = 41;
const leaves = Array.from({ length: SIZE_MAX }, (_, i) => leafHash(Buffer.from(`record ${i}`)));
const roots = Array.from({ length: SIZE_MAX + 1 }, (_, size) => rootOf(leaves, 0, size));

function proofOf(from: number, to: number): Uint8Array[] {
  return consistencyRanges(from, to).map(({ start, end }) => rootOf(leaves, start, end));
}

function root(size: number): Uint8Array {
  return roots[size] ?? emptyRoot();
}

/**
 * RFC 6962 section 2.1.2 word for word, as SUBPROOF is written there: the second implementation
 * beside {@link consistencyRanges}.
 */
function subproof(m: number, from: number, to: number, complete: boolean): Uint8Array[] {
  const n = to - from;
  if (m === n) return complete ? [] : [rootOf(leaves, from, to)];
  const k = splitPoint(n);
  return m <= k
    ? [...subproof(m, from, from + k, complete), rootOf(leaves, from + k, to)]
    : [...subproof(m - k, from + k, to, false), rootOf(leaves, from, from + k)];
}

test("[AUD-4] the roots of the certificate-transparency test tree", async (t) => {
  t.equal(Buffer.from(emptyRoot()).toString("hex"), vectors.empty);
  let frontier: Frontier = EMPTY_FRONTIER;
  for (const [index, leaf] of known.entries()) {
    frontier = appendLeaf(frontier, leaf);
    t.equal(Buffer.from(frontierRoot(frontier)).toString("hex"), vectors.roots[index], `frontier of ${index + 1}`);
    t.equal(Buffer.from(rootOf(known, 0, index + 1)).toString("hex"), vectors.roots[index], `root of ${index + 1}`);
  }
});

test("[AUD-4] leaves and nodes are hashed differently: SHA-256(0x00 || record), SHA-256(0x01 || left || right)", async (t) => {
  const leaf = createHash("sha256")
    .update(Buffer.from([0]))
    .update("record")
    .digest();
  t.same(leafHash(Buffer.from("record")), leaf);
  const node = createHash("sha256")
    .update(Buffer.concat([Buffer.from([1]), leaf, leaf]))
    .digest();
  t.same(rootOf([leaf, leaf]), node);
  t.notSame(leafHash(Buffer.concat([Buffer.from([1]), leaf, leaf])), node);
});

test("[AUD-5] the proofs of the certificate-transparency test tree", async (t) => {
  for (const { from, to, proof } of vectors.consistency) {
    const ranges = consistencyRanges(from, to);
    t.same(
      ranges.map(({ start, end }) => Buffer.from(rootOf(known, start, end)).toString("hex")),
      proof,
      `${from} to ${to}`,
    );
    const hashes = proof.map((hash) => Buffer.from(hash, "hex"));
    t.doesNotThrow(() => verifyConsistency(from, rootOf(known, 0, from), to, rootOf(known, 0, to), hashes));
  }
});

test("the frontier has the root of the tree at every size", async (t) => {
  let frontier: Frontier = EMPTY_FRONTIER;
  for (const [index, leaf] of leaves.entries()) {
    frontier = appendLeaf(frontier, leaf);
    if (!Buffer.from(frontierRoot(frontier)).equals(root(index + 1))) t.fail(`size ${index + 1}`);
  }
  t.equal(frontier.size, SIZE_MAX);
});

test("[AUD-5] every pair of sizes up to 41 is proven, as RFC 6962 writes the proof down", async (t) => {
  for (let to = 0; to <= SIZE_MAX; to++)
    for (let from = 0; from <= to; from++) {
      const proof = proofOf(from, to);
      verifyConsistency(from, root(from), to, root(to), proof);
      if (from > 0 && !Buffer.concat(subproof(from, 0, to, true)).equals(Buffer.concat(proof))) t.fail(`${from} to ${to}`);
    }
  t.pass("all pairs");
});

test("[AUD-5] a proof that is longer, shorter, reordered, changed, or of other sizes or roots is refused, for every pair", async (t) => {
  const refused = (
    from: number,
    fromRoot: Uint8Array,
    to: number,
    toRoot: Uint8Array,
    proof: Uint8Array[],
    why: string,
  ): void => {
    try {
      verifyConsistency(from, fromRoot, to, toRoot, proof);
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "proof.invalid") return;
      throw error;
    }
    t.fail(`accepted: ${from} to ${to}, ${why}`);
  };
  for (let to = 1; to <= SIZE_MAX; to++)
    for (let from = 0; from <= to; from++) {
      const proof = proofOf(from, to);
      const other = leafHash(Buffer.from("other"));
      refused(from, root(from), to, root(to), [...proof, other], "longer");
      refused(from, root(from), to, root(to), [...proof, root(to)], "longer by the root");
      refused(from, root(from), to, root(to), [other, ...proof], "longer in front");
      if (proof.length > 0) {
        refused(from, root(from), to, root(to), proof.slice(1), "first missing");
        refused(from, root(from), to, root(to), proof.slice(0, -1), "last missing");
        for (let i = 0; i < proof.length; i++) refused(from, root(from), to, root(to), proof.with(i, other), `hash ${i} changed`);
      }
      if (proof.length > 1) refused(from, root(from), to, root(to), [...proof].reverse(), "reversed");
      refused(from, other, to, root(to), proof, "other old root");
      if (from > 0) refused(from, root(from), to, other, proof, "other new root");
      if (from > 1) refused(from - 1, root(from), to, root(to), proof, "old size lowered");
      if (from > 0 && from < to) refused(from + 1, root(from), to, root(to), proof, "old size raised");
    }
  t.pass("all pairs");
});

test("[AUD-5] sizes out of order, hashes of another length and endless proofs are refused", async (t) => {
  const cases: readonly [number, number, Uint8Array[]][] = [
    [5, 4, []],
    [-1, 4, []],
    [1.5, 4, proofOf(1, 4)],
    [1, Number.POSITIVE_INFINITY, []],
    [1, 4, [Buffer.alloc(31)]],
    [1, 4, Array.from({ length: PROOF_HASHES_MAX + 1 }, () => Buffer.alloc(32))],
  ];
  for (const [from, to, proof] of cases)
    t.throws(() => verifyConsistency(from, root(1), to, root(4), proof), { code: "proof.invalid" });
  t.throws(() => consistencyRanges(5, 4), { code: "proof.invalid" });
  t.throws(() => consistencyRanges(-1, 4), { code: "proof.invalid" });
});

test("sizes beyond 2^31 and up to 2^53 are no special case", async (t) => {
  for (const [from, to, leavesNeeded] of [
    [2 ** 31, 2 ** 31 + 1, 1],
    [2 ** 32 + 3, 2 ** 40 + 5, 2 ** 40 + 5],
    [2 ** 53 - 2, 2 ** 53 - 1, 2 ** 53 - 1],
  ] as const) {
    const ranges = consistencyRanges(from, to);
    t.ok(ranges.length <= PROOF_HASHES_MAX, `${ranges.length} hashes`);
    const covered = ranges.reduce((sum, { start, end }) => sum + (end - start), 0);
    t.equal(covered, leavesNeeded);
  }
});
