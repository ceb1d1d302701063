// The audit log without faults: numbers, tree, proofs, checkpoints, group commit, segments, closing
// and reopening.
import { test } from "tap";
import {
  decodeAuditRecord,
  decodeCheckpoint,
  decodeNote,
  decodeVerifier,
  leafHash,
  readFrames,
  rootOf,
  SEGMENT_RECORDS,
  segmentName,
  verifyConsistency,
  verifyNote,
} from "../../../warden/audit/format/index.ts";
import { appendMany, auditDisk, entryOf, eventsOf, openOn, testWitness } from "../../lab/worlds/audit.ts";

test("[AUD-1] [AUD-2] [AUD-3] the first record describes the log itself, and records are numbered without gaps", async (t) => {
  const log = await openOn(auditDisk());
  t.equal(await log.append(entryOf(1)), 1);
  t.equal(await log.append(entryOf(2)), 2);
  const [started, first] = (await log.read(0, 10)).map((record) => decodeAuditRecord(record));
  t.match(started, { seq: 0, event: "audit.started", source: "warden", id: 7001, category: "audit", synced: false });
  t.match(first, { seq: 1, event: "tunnel.connected", source: "agent", id: 3030, at: /^2026-11-22T/, mono: Number });
  t.strictSame(await log.read(3, 10), []);
  t.strictSame(log.head, { size: 3, witnessedSize: 0, dropped: 0 });
});

test("[AUD-4] [AUD-5] [AUD-6] checkpoints over three segments: tree and proofs match the records, for every pair tried", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk);
  await appendMany(log, 2 * SEGMENT_RECORDS + 40);
  const leaves: Uint8Array[] = [];
  while (leaves.length < log.head.size) leaves.push(...(await log.read(leaves.length, 256)).map((record) => leafHash(record)));
  t.equal(leaves.length, 2 * SEGMENT_RECORDS + 41);
  const key = decodeVerifier(log.auditKey);
  const sizes = [0, 1, 2, 3, 100, 255, 256, 257, 300, 511, 512, 513, 530, 552, 553];
  for (const size of sizes)
    for (const oldSize of sizes.filter((old) => old <= size)) {
      const made = await log.checkpoint(oldSize, size);
      const note = decodeNote(made.checkpoint);
      verifyNote(note, key);
      const checkpoint = decodeCheckpoint(note.text);
      const root = rootOf(leaves, 0, size);
      if (Buffer.compare(checkpoint.root, root) !== 0) t.fail(`root of ${size}`);
      if (checkpoint.origin !== "sallyport/1/gw-0001" || checkpoint.size !== size || made.size !== size) t.fail(note.text);
      verifyConsistency(oldSize, rootOf(leaves, 0, oldSize), size, root, made.proof);
    }
  t.equal((await log.checkpoint(0)).size, log.head.size);
  for (const [oldSize, size] of [
    [0, 554],
    [5, 4],
    [-1, 4],
    [0.5, 4],
    [554, undefined],
  ] as const)
    await t.rejects(log.checkpoint(oldSize, size), { code: "proof.invalid" });
});

test("[AUD-10] concurrent callers share a write, and each gets its own number", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk);
  const before = disk.files.faults.changes;
  const numbers = await Promise.all(Array.from({ length: 200 }, (_, i) => log.append(entryOf(i))));
  t.strictSame(
    numbers,
    Array.from({ length: 200 }, (_, i) => i + 1),
  );
  t.ok(disk.files.faults.changes - before <= 3, `${disk.files.faults.changes - before} writes`);
  const marks = (await eventsOf(log, 1)).map(({ detail }) => detail);
  t.strictSame(
    marks,
    Array.from({ length: 200 }, (_, mark) => ({ mark })),
  );
});

test("a batch is bounded, and so is the queue: an entry beyond its bound is dropped and counted", async (t) => {
  const log = await openOn(auditDisk(), { limits: { batchRecordsMax: 4, waitingRecordsMax: 16 } });
  const outcomes = await Promise.allSettled(Array.from({ length: 40 }, (_, i) => log.append(entryOf(i))));
  const failed = outcomes.filter((outcome) => outcome.status === "rejected");
  t.equal(failed.length, 24);
  for (const { reason } of failed) t.match(reason, { code: "audit.full" });
  t.equal(log.head.dropped, 24);
  await log.append(entryOf(41));
  const events = await eventsOf(log);
  t.match(
    events.filter(({ event }) => event === "audit.dropped"),
    [{ detail: { count: 24, total: 24 } }],
  );
});

test("[AUD-41] an entry of the agent's that no record can hold is refused alone; those written with it are not", async (t) => {
  const log = await openOn(auditDisk());
  const detail = Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`d${i}`, "x".repeat(512)]));
  const [a, b, c] = await Promise.allSettled([
    log.append(entryOf(1)),
    log.append({ ...entryOf(2), detail }),
    log.append(entryOf(3)),
  ]);
  t.match([a, b, c], [{ value: 1 }, { reason: { code: "audit.too-large" } }, { value: 2 }]);
});

test("[AUD-41] a record of the warden's own is never too long: its texts are shortened, all alike", async (t) => {
  const log = await openOn(auditDisk());
  for (const character of ["x", "\u20ac", "\u0001", "\u{1f512}"]) {
    const long = character.repeat(512 / character.length);
    const detail = Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`d${i}`, long]));
    const before = log.head.size;
    const seq = await log.append({
      event: "order.accepted",
      result: "ok",
      principal: "\u0001".repeat(128),
      correlation: "\u0001".repeat(64),
      detail,
    });
    t.equal(seq, before);
    const [record] = await eventsOf(log, seq);
    t.same(Object.keys(record?.detail ?? {}), Object.keys(detail).sort());
    for (const text of Object.values(record?.detail ?? {})) {
      t.match(text, /\.\.\.$/u);
      t.ok(String(text).startsWith(character));
    }
  }
  await log.append({ event: "order.accepted", result: "ok", detail: { reason: "r".repeat(512) } });
  t.match((await eventsOf(log)).at(-1), { detail: { reason: "r".repeat(512) } }, "what fits is left as it is");
});

test("reopened at every size around the end of a segment, the log goes on with the same tree", async (t) => {
  for (const size of [1, 2, 255, 256, 257, 511, 512, 513]) {
    const disk = auditDisk();
    const log = await openOn(disk);
    await appendMany(log, size - 1);
    const before = await log.checkpoint(0);
    if (size % 2 === 0) await log.close(); // the others end without closing
    const again = await openOn(disk);
    t.equal(again.auditKey, log.auditKey);
    t.equal(again.tampered, undefined);
    t.equal(again.head.size, size + 1, `size ${size}`);
    const after = await again.checkpoint(size, size);
    t.equal(decodeNote(after.checkpoint).text, decodeNote(before.checkpoint).text);
    const events = await eventsOf(again, size);
    t.match(events, [{ event: "audit.started", seq: size, detail: { size, epoch: 0 } }]);
  }
});

test("more than 256 segments: the tiles of the level above fill and are used", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk, { limits: { bytesMax: 1 << 30, waitingRecordsMax: 100_000 } });
  const witness = testWitness();
  await appendMany(log, 256 * 257 + 3);
  const { size } = log.head;
  const made = await log.checkpoint(65_537, size);
  t.ok(disk.files.contents.has("tile-0-2-0000000000"));
  t.equal(disk.files.contents.get("tile-0-1-0000000000")?.byteLength, 8192);
  t.ok(made.proof.length > 0); // it was verified against the tree in memory before it was signed
  const again = await openOn(disk, { witness: witness.verifier, limits: { bytesMax: 1 << 30 } });
  t.equal(again.head.size, size + 1);
  t.equal(again.tampered, undefined);
});

test("after close no entry is taken, and the entries that waited are written", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk);
  const waiting = log.append(entryOf(1));
  await log.close();
  t.equal(await waiting, 1);
  await t.rejects(log.append(entryOf(2)), { code: "audit.write-failed" });
  t.ok(disk.state.contents.has("audit-closed.note"));
});

test("the header names the segment's log and gives the tree before it", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk);
  await appendMany(log, SEGMENT_RECORDS);
  const bytes = disk.files.contents.get(segmentName(0, 1)) ?? new Uint8Array();
  const header: unknown = JSON.parse(Buffer.from(readFrames(bytes).bodies[0] ?? []).toString("utf8"));
  const note = decodeNote((await log.checkpoint(0, SEGMENT_RECORDS)).checkpoint);
  t.match(header, {
    v: 1,
    epoch: 0,
    deviceId: "gw-0001",
    keyId: Buffer.from(decodeVerifier(log.auditKey).id).toString("hex"),
    segment: 1,
    first: SEGMENT_RECORDS,
    root: Buffer.from(decodeCheckpoint(note.text).root).toString("base64"),
  });
});
