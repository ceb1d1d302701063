// Zeros behind the last record, which later records overwrite: where the log ends then, what a
// power cut and what somebody can make of them, and when there are none. The byte-by-byte cuts and
// flips of recovery.test.ts run on logs with such zeros, too.
import { test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import {
  decodeVerifier,
  encodeFrame,
  lengthWithoutZeros,
  readFrames,
  readSegment,
  SEGMENT_BYTES_MAX,
  SEGMENT_RECORDS,
  segmentName,
  type TrailReport,
  verifyTrail,
} from "../../../warden/audit/format/index.ts";
import type { AuditLog } from "../../../warden/audit/index.ts";
import { AUDIT_LIMITS } from "../../../warden/audit/limits.ts";
import {
  appendMany,
  type AuditDisk,
  auditDisk,
  copyDisk,
  entryOf,
  eventsOf,
  LAB_RESERVE_BYTES,
  openOn,
  testWitness,
  trailOf,
} from "../../lab/worlds/audit.ts";

const SEGMENT_0 = segmentName(0, 0);
const SECTOR_BYTES = 512;
const RESERVE = { limits: { reserveBytes: 8192 } };
/** For tests that change each byte of a log. */
const SMALL_RESERVE = { limits: { reserveBytes: LAB_RESERVE_BYTES } };
const NO_RESERVE = { limits: { reserveBytes: 0 } };

function bytesOf(disk: AuditDisk, name = SEGMENT_0): Uint8Array {
  return Uint8Array.from(disk.files.contents.get(name) ?? []);
}

function withBytes(disk: AuditDisk, bytes: Uint8Array, name = SEGMENT_0): AuditDisk {
  const changed = copyDisk(disk);
  changed.files.contents.set(name, Uint8Array.from(bytes));
  return changed;
}

function offline(disk: AuditDisk, log: AuditLog, checkpoints: readonly string[] = []): TrailReport {
  return verifyTrail({ files: trailOf(disk), auditKey: decodeVerifier(log.auditKey), checkpoints });
}

/** The end of the header, then of each record. */
function endsIn(bytes: Uint8Array): readonly number[] {
  const ends: number[] = [];
  for (const body of readFrames(bytes).bodies) ends.push((ends.at(-1) ?? 0) + 8 + body.byteLength);
  return ends;
}

test("[AUD-45] records overwrite the zeros that the first of them brought: the file gets longer only when these are used up", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk, RESERVE);
  const lengths = new Set<number>();
  for (let i = 0; i < 100; i++) {
    await log.append(entryOf(i));
    const bytes = bytesOf(disk);
    lengths.add(bytes.byteLength);
    t.equal(readSegment(bytes).records.length, i + 2);
    t.match(offline(disk, log), { finding: undefined, tornBytes: 0, size: i + 2 });
  }
  t.ok(lengths.size < 8, `${lengths.size} lengths`);
  t.ok(lengths.size > 2, "and new zeros came more than once");
});

test("[AUD-45] a segment that is full ends with its last record, and so does the log at its close and after its next start", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk, RESERVE);
  const zerosIn = (name: string): number => bytesOf(disk, name).byteLength - lengthWithoutZeros(bytesOf(disk, name));
  for (let i = 0; i < SEGMENT_RECORDS + 3; i++) await log.append(entryOf(i));
  t.equal(zerosIn(SEGMENT_0), 0);
  t.ok(zerosIn(segmentName(0, 1)) > 0);
  const crashed = copyDisk(disk);
  await log.close();
  t.equal(zerosIn(segmentName(0, 1)), 0, "closed");
  const again = await openOn(crashed, NO_RESERVE);
  t.equal(again.tampered, undefined);
  const bytes = bytesOf(crashed, segmentName(0, 1));
  t.equal(lengthWithoutZeros(bytes), bytes.byteLength, "started again");
  t.notOk(
    (await eventsOf(again)).some(({ event }) => event === "audit.recovered"),
    "zeros are nothing that was lost",
  );
});

test("[AUD-45] any sectors of the last write are new and the others still zero: the log starts, keeps what was answered, and records what it cut", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk, RESERVE);
  await appendMany(log, 3);
  const before = bytesOf(disk);
  const valid = lengthWithoutZeros(before);
  await appendMany(log, 10); // one write over zeros
  const after = bytesOf(disk);
  t.equal(after.byteLength, before.byteLength);
  const [first, last] = [Math.floor(valid / SECTOR_BYTES), Math.floor(lengthWithoutZeros(after) / SECTOR_BYTES)];
  t.ok(last - first >= 5, `${last - first + 1} sectors`);
  const ends = endsIn(after);
  for (let kept = 0; kept < 2 ** (last - first + 1); kept++) {
    const bytes = Uint8Array.from(before);
    for (let sector = first; sector <= last; sector++)
      if ((kept >> (sector - first)) % 2 === 1)
        bytes.set(after.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES), sector * SECTOR_BYTES);
    const sameBytes = after.findIndex((byte, i) => byte !== bytes[i]);
    const whole = ends.findLastIndex((end) => sameBytes < 0 || end <= sameBytes);
    const lostBytes = Math.max(0, lengthWithoutZeros(bytes) - (ends[whole] ?? 0));
    const crashed = withBytes(disk, bytes);
    t.match(offline(crashed, log), { finding: undefined, size: whole, tornBytes: lostBytes }, `sectors ${kept.toString(2)}`);
    const again = await openOn(crashed, RESERVE);
    if (again.tampered !== undefined) t.fail(`sectors ${kept.toString(2)}: ${again.tampered.message}`);
    const [next] = await eventsOf(again, whole);
    t.match(
      next,
      lostBytes > 0 ? { event: "audit.recovered", detail: { lostBytes, lastSeq: whole - 1 } } : { event: "audit.started" },
      `sectors ${kept.toString(2)}`,
    );
  }
});

test("[AUD-46] zeros from any byte on: below the size of a signed checkpoint they are tampering, above it the log is shorter or torn", async (t) => {
  const witness = testWitness();
  const disk = auditDisk();
  const log = await openOn(disk, { ...SMALL_RESERVE, witness: witness.verifier });
  for (let i = 0; i < 3; i++) await log.append(entryOf(i));
  const note = await witness.witness(log);
  for (let i = 0; i < 2; i++) await log.append(entryOf(i));
  const whole = bytesOf(disk);
  const ends = endsIn(whole);
  for (let from = 0; from < (ends.at(-1) ?? 0); from++) {
    const zeroed = withBytes(disk, Uint8Array.from(whole).fill(0, from));
    const size = Math.max(
      0,
      ends.findLastIndex((end) => end <= from),
    );
    const torn = lengthWithoutZeros(bytesOf(zeroed)) > (ends.findLast((end) => end <= from) ?? 0);
    const trail = offline(zeroed, log, [note]);
    const isSigned = from < (ends[4] ?? 0);
    if (isSigned) t.match(trail.finding, { entry: size, part: torn ? "record" : "missing" }, `offline, zeros from ${from}`);
    else t.match(trail, { finding: undefined, size, tornBytes: torn ? Number : 0 }, `offline, zeros from ${from}`);
    // a start takes longer: each end and its neighbours, and some between
    if (from % 16 > 0 && !ends.some((end) => Math.abs(end - from) <= 4)) continue;
    const again = await openOn(zeroed, { ...SMALL_RESERVE, witness: witness.verifier });
    const [first] = await eventsOf(again, isSigned ? 0 : size);
    if (isSigned) t.match(first, { event: "audit.tampered", detail: { entry: size } }, `zeros from ${from}`);
    else t.match(first, { event: torn ? "audit.recovered" : "audit.started" }, `zeros from ${from}`);
  }
});

test("[AUD-46] zeros in place of any record, or of all but the last, are tampering: a later write follows", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk, SMALL_RESERVE);
  for (let i = 0; i < 5; i++) await log.append(entryOf(i));
  const ends = endsIn(bytesOf(disk));
  for (let from = 0; from < 5; from++)
    for (let to = from + 1; to <= 5; to++) {
      const bytes = bytesOf(disk).fill(0, ends[from], ends[to]);
      const entry = from;
      t.match(offline(withBytes(disk, bytes), log).finding, { part: "record", entry }, `entries ${from} to ${to - 1}`);
      t.match((await openOn(withBytes(disk, bytes))).tampered, { message: new RegExp(`entry ${entry} `, "u") });
    }
});

test("[AUD-46] a write at any place behind the end, with zeros before it, is tampering; without a whole frame it is torn", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk, SMALL_RESERVE);
  await log.append(entryOf(1));
  const valid = lengthWithoutZeros(bytesOf(disk));
  const frame = encodeFrame(Buffer.from('{"forged":true}'));
  for (let at = valid + 1; at + frame.byteLength <= bytesOf(disk).byteLength; at++)
    for (const [part, torn] of [
      [frame, false],
      [frame.subarray(0, -1), true],
    ] as const) {
      const bytes = bytesOf(disk);
      bytes.set(part, at);
      const trail = offline(withBytes(disk, bytes), log);
      if (torn) t.match(trail, { finding: undefined, size: 2, tornBytes: at + part.byteLength - valid });
      else t.match(trail.finding, { part: "record", entry: 2 }, `at ${at}`);
    }
});

test("[AUD-46] a segment that another follows has no zeros at its end, and none instead of its end", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk, RESERVE);
  await appendMany(log, SEGMENT_RECORDS + 5);
  const closed = bytesOf(disk);
  const longer = withBytes(disk, Buffer.concat([closed, Buffer.alloc(1)]));
  t.match(offline(longer, log).finding, { part: "record", entry: SEGMENT_RECORDS - 1, why: /zeros follow it/ });
  t.match((await openOn(longer)).tampered, { code: "audit.tampered" });
  const shorter = withBytes(disk, closed.fill(0, endsIn(closed).at(-2)));
  t.match(offline(shorter, log).finding, { part: "missing", entry: SEGMENT_RECORDS - 1 });
});

test("[AUD-46] a log that was written without zeros is read, and goes on with them", async (t) => {
  const disk = auditDisk();
  const old = await openOn(disk, NO_RESERVE);
  for (let i = 0; i < 5; i++) await old.append(entryOf(i));
  const before = bytesOf(disk);
  t.equal(lengthWithoutZeros(before), before.byteLength);
  const log = await openOn(disk, RESERVE);
  t.equal(log.auditKey, old.auditKey);
  await log.append(entryOf(6));
  const bytes = bytesOf(disk);
  t.same(bytes.subarray(0, before.byteLength), before);
  t.ok(lengthWithoutZeros(bytes) < bytes.byteLength);
  t.match(offline(disk, log), { finding: undefined, size: 8, tornBytes: 0 });
});

test("[AUD-46] a program that knows nothing of zeros takes them for a torn tail: it has every record, and cuts", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk, RESERVE);
  for (let i = 0; i < 5; i++) await log.append(entryOf(i));
  const bytes = Buffer.from(bytesOf(disk));
  // as programs before it read frames: to the first that has an impossible length or a wrong CRC
  const lengthAt = (from: number): number => bytes.readUInt32BE(from) % 2 ** 31;
  let [at, frames] = [0, 0];
  for (; lengthAt(at) >= 2; frames++) at += 8 + lengthAt(at);
  t.equal(frames, 1 + 6);
  t.equal(at, lengthWithoutZeros(bytes));
  t.notOk(bytes.subarray(at).includes(0x80), "no later write: what is torn is cut, and no tampering is seen");
});

test("[AUD-11] with its zeros the log keeps its bound at every moment, and a full log is written without", async (t) => {
  const bytesMax = 64 * 1024;
  const disk = auditDisk();
  const log = await openOn(disk, { limits: { bytesMax, reserveBytes: AUDIT_LIMITS.reserveBytes } });
  for (let i = 0; i < 400; i++) {
    const outcome = await log.append({ event: "login.accepted", result: "ok" }).catch((error: unknown) => error);
    const used = [...disk.files.contents.values()].reduce((sum, bytes) => sum + bytes.byteLength, 0);
    if (used > bytesMax) t.fail(`${used} of ${bytesMax} bytes after ${i}`);
    if (outcome instanceof Fault) {
      t.match(outcome, { code: "audit.full" });
      t.ok(i > 100, `${i} records fit, as without zeros`);
      return;
    }
  }
  t.fail("the log was never full");
});

test("a segment of the longest records is never longer than a segment may be", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk, { limits: { reserveBytes: SEGMENT_BYTES_MAX } });
  const detail = Object.fromEntries(Array.from({ length: 7 }, (_, i) => [`d${i}`, "x".repeat(512)]));
  for (let i = 0; i < SEGMENT_RECORDS + 2; i++) {
    await log.append({ ...entryOf(i), detail });
    if (bytesOf(disk).byteLength > SEGMENT_BYTES_MAX) t.fail(`${bytesOf(disk).byteLength} bytes`);
  }
  t.equal((await openOn(disk)).tampered, undefined);
});

test("[AUD-25] a disk that has no space for zeros is asked once in a segment, and loses no record", async (t) => {
  const disk = auditDisk();
  const asked: number[] = [];
  const files = {
    ...disk.files,
    write: async (name: string, at: number, bytes: Uint8Array, reserveBytes = 0) => {
      if (reserveBytes > 0) asked.push(at);
      return await disk.files.write(name, at, bytes);
    },
  };
  const log = await openOn({ files, state: disk.state }, RESERVE);
  for (let i = 0; i < SEGMENT_RECORDS + 10; i++) t.equal(await log.append(entryOf(i)), i + 1);
  t.strictSame(asked, [0, 0], "once in each of two segments");
  t.equal(log.head.dropped, 0);
});

test("[AUD-23] a segment that lost more than its zeros while the log was open ends that log, and a new one begins", async (t) => {
  for (const change of ["removed", "cut"]) {
    const disk = auditDisk();
    const log = await openOn(disk, RESERVE);
    for (let i = 0; i < SEGMENT_RECORDS - 1; i++) await log.append(entryOf(i));
    // full, and its zeros are still there
    const bytes = bytesOf(disk);
    t.ok(lengthWithoutZeros(bytes) < bytes.byteLength);
    if (change === "removed") disk.files.contents.delete(SEGMENT_0);
    else disk.files.contents.set(SEGMENT_0, bytes.slice(0, 2000));
    const { auditKey } = log;
    t.equal(await log.append(entryOf(1)), 1, change);
    t.not(log.auditKey, auditKey);
    t.match(await eventsOf(log), [{ event: "audit.tampered", detail: { epoch: 0 } }, { event: "tunnel.connected" }]);
  }
});

test("[AUD-10] a fault at the cut of a full segment's zeros fails the callers, and the next write makes up for it", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk, RESERVE);
  for (let i = 0; i < SEGMENT_RECORDS - 1; i++) await log.append(entryOf(i));
  disk.files.faults.failAt(1, "file.write-failed");
  await t.rejects(log.append(entryOf(1)), { code: "audit.write-failed" });
  t.equal(await log.append(entryOf(2)), SEGMENT_RECORDS);
  t.equal(lengthWithoutZeros(bytesOf(disk)), bytesOf(disk).byteLength);
  t.equal((await openOn(disk)).tampered, undefined);
});

test("[AUD-45] after a failed write what it left is cut off with the zeros, and the next record brings new ones", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk, RESERVE);
  await log.append(entryOf(1));
  disk.files.faults.failAt(1, "file.write-failed", 50);
  await t.rejects(log.append(entryOf(2)), { code: "audit.write-failed" });
  await log.append(entryOf(3));
  const length = bytesOf(disk).byteLength;
  t.ok(length - lengthWithoutZeros(bytesOf(disk)) > 7000, `${length} bytes`);
  await log.append(entryOf(4));
  t.equal(bytesOf(disk).byteLength, length);
  t.match(offline(disk, log), { finding: undefined, tornBytes: 0, size: 5 });
});
