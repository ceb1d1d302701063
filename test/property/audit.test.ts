// Every change of a byte in a whole log is detected, and named as precisely as the log allows.
import * as fc from "fast-check";
import { test } from "tap";
import {
  appendLeaf,
  consistencyRanges,
  decodeVerifier,
  EMPTY_FRONTIER,
  type Frontier,
  frontierRoot,
  leafHash,
  lengthWithoutZeros,
  readFrames,
  rootOf,
  SEGMENT_RECORDS,
  segmentName,
  verifyConsistency,
  verifyTrail,
} from "../../warden/audit/format/index.ts";
import { appendMany, auditDisk, copyDisk, openOn, testWitness, trailOf } from "../lab/worlds/audit.ts";

test("[AUD-22] any flipped bit of any segment is detected, and the entry or the segment's header is named", async (t) => {
  const witness = testWitness();
  const disk = auditDisk();
  const log = await openOn(disk, { witness: witness.verifier });
  await appendMany(log, 2 * SEGMENT_RECORDS + 60);
  const note = await witness.witness(log);
  const auditKey = decodeVerifier(log.auditKey);
  fc.assert(
    fc.property(fc.nat(2), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), fc.nat(7), (segment, where, bit) => {
      const bad = copyDisk(disk);
      const name = segmentName(0, segment);
      const bytes = bad.files.contents.get(name) ?? new Uint8Array();
      const at = Math.floor(where * lengthWithoutZeros(bytes));
      let end = 0;
      const index = readFrames(bytes).bodies.findIndex((body) => at < (end += 8 + body.byteLength));
      bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
      const { finding } = verifyTrail({ files: trailOf(bad), auditKey, witness: witness.verifier, checkpoints: [note] });
      const entry = segment * SEGMENT_RECORDS + Math.max(index - 1, 0);
      // The last segment is one write, which may be torn, but for the checkpoint.
      const part = index === 0 && segment < 2 ? "header" : "record";
      return finding?.segment === segment && finding.entry === entry && finding.until === entry + 1 && finding.part === part;
    }),
    { numRuns: 300 },
  );
  t.pass("every flip was named");
});

test("[AUD-22] a cut anywhere in a witnessed log is detected, and so is any exchange of two records", async (t) => {
  const witness = testWitness();
  const disk = auditDisk();
  const log = await openOn(disk, { witness: witness.verifier });
  await appendMany(log, 40);
  const note = await witness.witness(log);
  const auditKey = decodeVerifier(log.auditKey);
  const file = disk.files.contents.get(segmentName(0, 0)) ?? new Uint8Array();
  const whole = file.subarray(0, lengthWithoutZeros(file));
  const seen = (bytes: Uint8Array): number | undefined => {
    const bad = copyDisk(disk);
    bad.files.contents.set(segmentName(0, 0), bytes);
    return verifyTrail({ files: trailOf(bad), auditKey, checkpoints: [note] }).finding?.entry;
  };
  fc.assert(fc.property(fc.nat(whole.byteLength - 1), (length) => seen(whole.slice(0, length)) !== undefined));
  const ends: number[] = [0];
  for (const body of readFrames(whole).bodies) ends.push((ends.at(-1) ?? 0) + 8 + body.byteLength);
  const frame = (index: number): Uint8Array => whole.slice(ends[index + 1], ends[index + 2]);
  fc.assert(
    fc.property(fc.nat(40), fc.nat(40), (a, b) => {
      const frames = Array.from({ length: 41 }, (_, index) => frame(index === a ? b : index === b ? a : index));
      return seen(Buffer.concat([whole.slice(0, ends[1]), ...frames])) === (a === b ? undefined : Math.min(a, b));
    }),
  );
  t.pass("every cut and exchange was seen");
});

test("[AUD-4] [AUD-5] any two sizes of any tree: the frontier is the root, the proof verifies, and no other root does", async (t) => {
  const leaves = Array.from({ length: 600 }, (_, i) => leafHash(Buffer.from(String(i))));
  const frontiers: Frontier[] = [EMPTY_FRONTIER];
  for (const leaf of leaves) frontiers.push(appendLeaf(frontiers.at(-1) ?? EMPTY_FRONTIER, leaf));
  const root = (size: number): Uint8Array => frontierRoot(frontiers[size] ?? EMPTY_FRONTIER);
  fc.assert(
    fc.property(fc.nat(600), fc.nat(600), (a, b) => {
      const [from, to] = a < b ? [a, b] : [b, a];
      const proof = consistencyRanges(from, to).map(({ start, end }) => rootOf(leaves, start, end));
      verifyConsistency(from, root(from), to, root(to), proof);
      if (from === 0 || from === to) return;
      t.throws(() => verifyConsistency(from, root(from - 1), to, root(to), proof), { code: "proof.invalid" });
    }),
    { numRuns: 200 },
  );
});
