// What a crash can leave and what it cannot: every cut and every flipped bit of a small log has
// exactly one right verdict.
import { test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import {
  decodeVerifier,
  describeTrail,
  encodeFrame,
  lengthWithoutZeros,
  readFrames,
  SEGMENT_RECORDS,
  segmentName,
  verifyTrail,
} from "../../../warden/audit/format/index.ts";
import type { AuditLog } from "../../../warden/audit/index.ts";
import {
  appendMany,
  type AuditDisk,
  auditDisk,
  copyDisk,
  entryOf,
  eventsOf,
  openOn,
  testWitness,
  trailOf,
} from "../../lab/worlds/audit.ts";

const SEGMENT_0 = segmentName(0, 0);

async function smallLog(
  records: number,
): Promise<{ readonly disk: AuditDisk; readonly log: AuditLog; readonly bytes: Uint8Array; readonly ends: readonly number[] }> {
  const disk = auditDisk();
  const log = await openOn(disk);
  for (let i = 0; i < records; i++) await log.append(entryOf(i)); // one write each
  const bytes = disk.files.contents.get(SEGMENT_0) ?? new Uint8Array();
  const ends: number[] = []; // the end of the header, then of each record; zeros follow the last
  for (const body of readFrames(bytes).bodies) ends.push((ends.at(-1) ?? 0) + 8 + body.byteLength);
  return { disk, log, bytes, ends };
}

test("[AUD-21] cut at every byte: complete records stay, a torn tail is cut, and the cut is recorded", async (t) => {
  const { disk, bytes, ends } = await smallLog(5);
  for (let length = 0; length <= bytes.byteLength; length++) {
    const cut = copyDisk(disk);
    cut.files.contents.set(SEGMENT_0, bytes.slice(0, length));
    const whole = ends.filter((end) => end <= length).length - 1;
    const valid = ends.findLast((end) => end <= length) ?? 0;
    const lostBytes = Math.max(0, lengthWithoutZeros(bytes.slice(0, length)) - valid);
    const trail = verifyTrail({
      files: trailOf(cut),
      auditKey: decodeVerifier((await openOn(copyDisk(disk))).auditKey),
      checkpoints: [],
    });
    if (trail.finding !== undefined || trail.tornBytes !== lostBytes) t.fail(`offline, ${length}: ${describeTrail(trail)}`);
    const log = await openOn(cut);
    const complete = Math.max(whole, 0);
    const events = await eventsOf(log, complete);
    const recovered = lostBytes === 0 ? [] : [{ event: "audit.recovered", detail: { lostBytes, lastSeq: complete - 1 } }];
    if (log.tampered !== undefined) t.fail(`${length}: ${log.tampered.message}`);
    const seen = events.map(({ event, detail }) => (event === "audit.recovered" ? { event, detail } : { event }));
    t.strictSame(seen, [...recovered, { event: "audit.started" }], `cut to ${length} bytes`);
  }
});

test("[AUD-21] a tail of anything without a valid frame is torn too, also behind zeros", async (t) => {
  const { disk, bytes, ends } = await smallLog(3);
  const valid = ends.at(-1) ?? 0;
  for (const zeros of [0, 1, 300, 5000])
    for (const tail of [Buffer.from("ffffffffffffffff", "hex"), Buffer.from("00000010deadbeef", "hex"), Buffer.of(0x80)]) {
      const torn = copyDisk(disk);
      const lost = Buffer.concat([Buffer.alloc(zeros), tail]);
      torn.files.contents.set(SEGMENT_0, Buffer.concat([bytes.subarray(0, valid), lost, Buffer.alloc(100)]));
      const log = await openOn(torn);
      t.match((await eventsOf(log, 4))[0], { event: "audit.recovered", detail: { lostBytes: lost.byteLength, lastSeq: 3 } });
      t.equal(log.tampered, undefined);
    }
});

test("[AUD-21] a hole in the last write, whose end reached the disk before its start, is torn; a hole in an earlier write is not", async (t) => {
  for (const later of [false, true]) {
    const disk = auditDisk();
    const log = await openOn(disk);
    await log.append(entryOf(0));
    const start = lengthWithoutZeros(disk.files.contents.get(SEGMENT_0) ?? Buffer.of());
    await appendMany(log, 10); // one write
    if (later) await log.append(entryOf(11));
    const bytes = Uint8Array.from(disk.files.contents.get(SEGMENT_0) ?? []);
    disk.files.contents.set(SEGMENT_0, bytes.fill(0, start, start + 512));
    const again = await openOn(disk);
    if (later) t.match(again.tampered, { code: "audit.tampered", message: /entry 2 / });
    else
      t.match((await eventsOf(again, 2))[0], {
        event: "audit.recovered",
        detail: { lostBytes: lengthWithoutZeros(bytes) - start, lastSeq: 1 },
      });
  }
});

test("[AUD-22] a bit flipped in any byte is torn where no later write follows; otherwise it is tampering, named by its entry, and the evidence is kept", async (t) => {
  const { disk, log, bytes, ends } = await smallLog(5);
  const auditKey = decodeVerifier(log.auditKey);
  for (let at = 0; at < bytes.byteLength; at++) {
    const flipped = Uint8Array.from(bytes);
    flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
    const bad = copyDisk(disk);
    bad.files.contents.set(SEGMENT_0, flipped);
    // -1 stands for the header, and 6 for the zeros behind the last record
    const entry = at >= (ends.at(-1) ?? 0) ? 6 : ends.findIndex((end) => at < end) - 1;
    const trail = verifyTrail({ files: trailOf(bad), auditKey, checkpoints: [] });
    const again = await openOn(bad);
    const events = await eventsOf(again);
    if (entry >= 5) {
      if (trail.finding !== undefined || trail.tornBytes === 0) t.fail(`offline, byte ${at}: ${describeTrail(trail)}`);
      if (again.tampered !== undefined) t.fail(`byte ${at}: ${again.tampered.message}`);
      const seen = events.slice(entry);
      t.match(seen, [{ event: "audit.recovered", detail: { lastSeq: entry - 1 } }, { event: "audit.started" }], `byte ${at}`);
      continue;
    }
    const part = entry < 0 ? "header" : "record";
    if (trail.finding?.part !== part || trail.finding.entry !== Math.max(entry, 0))
      t.fail(`offline, byte ${at}: ${describeTrail(trail)}`);
    if (again.tampered?.code !== "audit.tampered") t.fail(`byte ${at} was not noticed`);
    t.match(
      events,
      [{ event: "audit.tampered", detail: { epoch: 0, entry: Math.max(entry, 0) } }, { event: "audit.started" }],
      `byte ${at}`,
    );
    if (Buffer.compare(bad.files.contents.get(SEGMENT_0) ?? Buffer.of(), flipped) !== 0)
      t.fail(`byte ${at}: the evidence was changed`);
  }
});

test("[AUD-22] a flip in the last record is not a torn write when a checkpoint covers it, of the hub or of an orderly close", async (t) => {
  for (const cover of ["witness", "close"]) {
    const witness = testWitness();
    const disk = auditDisk();
    const log = await openOn(disk, { witness: witness.verifier });
    await log.append(entryOf(1));
    if (cover === "witness") await witness.witness(log);
    else await log.close();
    const bytes = Uint8Array.from(disk.files.contents.get(SEGMENT_0) ?? []);
    const at = lengthWithoutZeros(bytes) - 1;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    disk.files.contents.set(SEGMENT_0, bytes);
    const again = await openOn(disk, { witness: witness.verifier });
    t.match(
      again.tampered,
      {
        code: "audit.tampered",
        message: /entry 1 \(segment-0-0000000000\): it is damaged, and a signed checkpoint has 2 entries/,
      },
      cover,
    );
  }
});

test("[AUD-23] a tampered log is closed for good: the next has another key and its own files, and goes on across starts", async (t) => {
  const { disk, log, bytes, ends } = await smallLog(5);
  const flipped = Uint8Array.from(bytes);
  flipped[(ends[2] ?? 0) + 20] = 0;
  disk.files.contents.set(SEGMENT_0, flipped);
  const second = await openOn(disk);
  t.not(second.auditKey, log.auditKey);
  await second.append(entryOf(7));
  const third = await openOn(disk);
  t.equal(third.auditKey, second.auditKey);
  t.equal(third.tampered, undefined);
  t.match(
    (await eventsOf(third)).map(({ event }) => event),
    ["audit.tampered", "audit.started", "tunnel.connected", "audit.started"],
  );
  t.same(disk.files.contents.get(SEGMENT_0), flipped);
  const sealed = verifyTrail({ files: trailOf(disk), auditKey: decodeVerifier(log.auditKey), checkpoints: [], epoch: 0 });
  t.match(sealed.finding, { epoch: 0, segment: 0, part: "record", entry: 2 });
  t.match(describeTrail(sealed), /entry 2 \(segment-0-0000000000\)/);
});

test("repeated tampering does not fill the disk: the first closed epoch and the latest stay", async (t) => {
  const { disk } = await smallLog(2);
  for (let round = 0; round < 6; round++) {
    const name = segmentName(round, 0);
    const bytes = Uint8Array.from(disk.files.contents.get(name) ?? []);
    bytes[30] = (bytes[30] ?? 0) ^ 1;
    disk.files.contents.set(name, bytes);
    const log = await openOn(disk);
    t.equal(log.tampered?.code, "audit.tampered");
    await log.append(entryOf(round));
  }
  t.strictSame([...disk.files.contents.keys()].sort(), ["segment-0-0000000000", "segment-5-0000000000", "segment-6-0000000000"]);
  t.notOk(disk.state.contents.has("audit-key-3.pem"));
});

test("[STA-13] [AUD-23] all files of the log set aside at twelve starts in a row: each finds it, and the log goes on", async (t) => {
  const disk = auditDisk();
  const keys = new Set<string>();
  for (let start = 0; start < 12; start++) {
    const log = await openOn(disk);
    t.equal(log.tampered?.code, start === 0 ? undefined : "audit.tampered", `start ${start}`);
    keys.add(log.auditKey);
    await appendMany(log, 3);
    await log.close();
    disk.files.contents.clear();
  }
  t.equal(keys.size, 12, "no key signs two histories");
});

test("[AUD-22] files removed, exchanged, restored from a copy or edited with care are found", async (t) => {
  const witness = testWitness();
  const disk = auditDisk();
  const log = await openOn(disk, { witness: witness.verifier });
  await appendMany(log, 3 * SEGMENT_RECORDS);
  const early = copyDisk(disk);
  await appendMany(log, 20);
  await witness.witness(log);
  await log.append(entryOf(1));
  const other = auditDisk();
  await appendMany(await openOn(other), 3 * SEGMENT_RECORDS + 40);
  const get = (from: AuditDisk, name: string): Uint8Array => from.files.contents.get(name) ?? new Uint8Array();
  const cases: Record<string, { readonly change: (bad: AuditDisk) => void; readonly entry: number }> = {
    "a segment in the middle removed": { change: (bad) => void bad.files.contents.delete(segmentName(0, 1)), entry: 256 },
    "the last segment removed": { change: (bad) => void bad.files.contents.delete(segmentName(0, 3)), entry: 768 },
    "the last two segments removed": {
      change: (bad) => [2, 3].forEach((number) => bad.files.contents.delete(segmentName(0, number))),
      entry: 512,
    },
    "everything removed but the checkpoint": { change: (bad) => bad.files.contents.clear(), entry: 0 },
    "an older copy of the whole log": {
      change: (bad) => {
        bad.files.contents.clear();
        for (const [name, bytes] of early.files.contents) bad.files.contents.set(name, bytes);
      },
      entry: early.files.contents.size > 0 ? 769 : 0,
    },
    "a segment in the middle cut": {
      change: (bad) => bad.files.contents.set(segmentName(0, 1), get(bad, segmentName(0, 1)).slice(0, -10)),
      entry: 511,
    },
    "two segments exchanged": {
      change: (bad) => {
        bad.files.contents.set(segmentName(0, 1), get(disk, segmentName(0, 2)));
        bad.files.contents.set(segmentName(0, 2), get(disk, segmentName(0, 1)));
      },
      entry: 256,
    },
    "a segment of another device's log": {
      change: (bad) => bad.files.contents.set(segmentName(0, 2), get(other, segmentName(0, 2))),
      entry: 512,
    },
    "a record of a closed segment edited, its CRC corrected": { change: (bad) => edit(bad, 1, 10), entry: 256 + 10 },
    "the stored hashes of a closed segment edited": { change: (bad) => flip(bad, "tile-0-0-0000000001", 40), entry: 257 },
    "the stored hashes of a closed segment removed": {
      change: (bad) => void bad.files.contents.delete("tile-0-0-0000000001"),
      entry: 256,
    },
    "the hashes above edited": { change: (bad) => flip(bad, "tile-0-1-0000000000", 33), entry: 256 },
    "the audit key removed": { change: (bad) => void bad.state.contents.delete("audit-key.pem"), entry: 0 },
    "another audit key": {
      change: (bad) => bad.state.contents.set("audit-key.pem", other.state.contents.get("audit-key.pem") ?? Buffer.of()),
      entry: 0,
    },
    "a malformed audit key": { change: (bad) => bad.state.contents.set("audit-key.pem", Buffer.from("none")), entry: 0 },
    "the witnessed checkpoint edited": { change: (bad) => flip(bad, "witnessed.note", 25), entry: 0 },
    "a segment longer than any": {
      change: (bad) => bad.files.contents.set(segmentName(0, 1), Buffer.alloc(2_000_000)),
      entry: 0,
    },
  };
  for (const [name, { change, entry }] of Object.entries(cases)) {
    const bad = copyDisk(disk);
    change(bad);
    const again = await openOn(bad, { witness: witness.verifier });
    t.equal(again.tampered?.code, "audit.tampered", name);
    if (again.tampered === undefined) continue;
    const [first] = await eventsOf(again);
    t.match(first, { event: "audit.tampered", detail: { epoch: 0, entry, why: String } }, `${name}: ${again.tampered.message}`);
    t.equal(await again.append(entryOf(1)), 2, `${name}: the log goes on`);
  }
});

test("[AUD-22] the first segment may be missing only where the hub has witnessed all of it", async (t) => {
  for (const size of [SEGMENT_RECORDS - 1, SEGMENT_RECORDS]) {
    const witness = testWitness();
    const disk = auditDisk();
    const log = await openOn(disk, { witness: witness.verifier });
    await appendMany(log, 2 * SEGMENT_RECORDS);
    const note = await witness.witness(log, size);
    disk.files.contents.delete(SEGMENT_0);
    const question = { files: trailOf(disk), auditKey: decodeVerifier(log.auditKey) };
    const seen = size < SEGMENT_RECORDS ? { part: "missing", entry: 0, until: SEGMENT_RECORDS } : undefined;
    t.match(verifyTrail({ ...question, checkpoints: [note] }).finding, seen);
    t.match(verifyTrail({ ...question, checkpoints: [] }).finding, { part: "missing", entry: 0 });
    t.match(
      (await openOn(disk, { witness: witness.verifier })).tampered?.code,
      seen === undefined ? undefined : "audit.tampered",
    );
  }
});

test("[AUD-22] a careful edit of the open segment is found by the checkpoint that covers it", async (t) => {
  const witness = testWitness();
  const disk = auditDisk();
  const log = await openOn(disk, { witness: witness.verifier });
  await appendMany(log, 10);
  const note = await witness.witness(log, 6);
  edit(disk, 0, 3);
  const question = {
    files: trailOf(disk),
    auditKey: decodeVerifier(log.auditKey),
    witness: witness.verifier,
    checkpoints: [note],
  };
  t.match(verifyTrail(question).finding, { part: "tree", entry: 0, until: 6 });
  t.match((await openOn(disk, { witness: witness.verifier })).tampered?.message, /an entry from 0 to 5 .*signed checkpoint/);
});

test("a device that gets another id before any hub knew it begins a new log; this is recorded, and not reported as tampering", async (t) => {
  const { disk } = await smallLog(3);
  const log = await openOn(disk, { deviceId: "plant-7" });
  const [first] = await eventsOf(log);
  t.match(first, { event: "audit.renamed", result: "ok", detail: { why: 'the device was "gw-0001" before' } });
  t.match(decodeVerifier(log.auditKey).name, "sallyport/1/plant-7");
});

test("[AUD-22] tampering found while reading: the fault names the entry, the log records it once and goes on", async (t) => {
  const { disk, log, ends } = await smallLog(5);
  flip(disk, SEGMENT_0, (ends[3] ?? 0) + 30);
  t.equal((await log.read(0, 3)).length, 3);
  await t.rejects(
    log.read(0, 100),
    new Fault("audit.tampered", `read the audit log: entry 3 ("segment-0-0000000000") is damaged or missing`),
  );
  await t.rejects(log.read(3, 1), { code: "audit.tampered" });
  const [size, ...more] = [(await log.checkpoint(0)).size];
  t.strictSame([size, more], [7, []]);
});

test("[AUD-22] hashes of a segment that was just filled: a part or zeros are completed, others are tampering, at a start and while open", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk);
  await appendMany(log, SEGMENT_RECORDS - 1); // full, and its hashes are not stored yet
  const tile = "tile-0-0-0000000000";
  t.notOk(disk.files.contents.has(tile));
  const whole = copyDisk(disk);
  await appendMany(await openOn(whole), 1);
  const right = whole.files.contents.get(tile) ?? new Uint8Array();
  const wrong = Uint8Array.from(right).fill(7, 100, 101);
  for (const [stored, mended] of [
    [right, true],
    [right.slice(0, 100), true],
    [new Uint8Array(5000), true],
    [Uint8Array.from(right).fill(0, 100, 700), true],
    [wrong, false],
    [wrong.slice(0, 200), false],
    [Buffer.concat([right, Buffer.of(0)]), false],
  ] as const) {
    const started = copyDisk(disk);
    started.files.contents.set(tile, stored);
    const again = await openOn(started);
    t.equal(again.tampered === undefined, mended);
    await again.append(entryOf(1));
    if (mended) t.same(started.files.contents.get(tile), right);
    else t.same(started.files.contents.get(tile), stored, "the evidence stays");
  }
  disk.files.contents.set(tile, wrong);
  t.equal(await log.append(entryOf(1)), 1);
  t.match(await eventsOf(log), [{ event: "audit.tampered", detail: { epoch: 0 } }, { event: "tunnel.connected" }]);
});

test("[AUD-22] a careful edit while the log is open is not returned to a reader", async (t) => {
  const { disk, log } = await smallLog(5);
  edit(disk, 0, 3);
  await t.rejects(log.read(3, 1), { code: "audit.tampered", message: /entry 3 .* is not what was written/ });
  t.match((await log.read(6, 1)).length, 1);
});

test("[AUD-22] closed segments removed from the end of a log that no hub has seen are found by their hashes", async (t) => {
  const disk = auditDisk();
  await appendMany(await openOn(disk), 2 * SEGMENT_RECORDS + 10);
  for (const { gone, tiles, entry } of [
    { gone: [1, 2], tiles: true, entry: 256 },
    { gone: [1, 2], tiles: false, entry: 256 },
    { gone: [0, 1, 2], tiles: true, entry: 0 },
    // the whole open segment, as if it had never existed: only a hub or an orderly close can reveal
    // it
    { gone: [2], tiles: true, entry: undefined },
  ]) {
    const bad = copyDisk(disk);
    for (const number of gone) bad.files.contents.delete(segmentName(0, number));
    // its root on the level above is still there
    if (!tiles) bad.files.contents.delete("tile-0-0-0000000001");
    const log = await openOn(bad);
    t.equal(log.tampered?.code, entry === undefined ? undefined : "audit.tampered");
    if (entry !== undefined) t.match((await eventsOf(log))[0], { event: "audit.tampered", detail: { entry } });
  }
});

test("[AUD-5] hashes changed while the log is open prove nothing false: no checkpoint is signed", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk);
  await appendMany(log, SEGMENT_RECORDS + 10);
  flip(disk, "tile-0-0-0000000000", 5);
  await t.rejects(log.checkpoint(100), { code: "audit.tampered" });
  await t.rejects(
    log.checkpoint(0, 100),
    { code: "audit.tampered" },
    "there is no older tree to compare with, but there is the newest",
  );
  t.equal(log.head.size, SEGMENT_RECORDS + 12);
});

function flip(disk: AuditDisk, name: string, at: number): void {
  const files = disk.files.contents.has(name) ? disk.files : disk.state;
  const bytes = Uint8Array.from(files.contents.get(name) ?? []);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  files.contents.set(name, bytes);
}

/**
 * Changes a character of a record and corrects the frame's CRC, as an attacker with a text editor
 * and a little time can.
 */
function edit(disk: AuditDisk, segment: number, index: number): void {
  const name = segmentName(0, segment);
  const { bodies } = readFrames(disk.files.contents.get(name) ?? new Uint8Array());
  const frames = bodies.map((body, i) =>
    encodeFrame(
      i === index + 1 ? Buffer.from(Buffer.from(body).toString("utf8").replace("2026-11-22", "2026-11-21")) : body,
      true,
    ),
  );
  disk.files.contents.set(name, Buffer.concat(frames));
}
