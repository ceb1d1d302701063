// The audit log on a disk that fails or is full: no answered record is lost, no unanswered one is
// passed off as kept, and the log goes on.
import { test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import {
  AUDIT_EVENTS,
  isAuditEventName,
  isAuthority,
  type AuditEntry,
  type AuditSeverity,
  type AuditSource,
  decodeVerifier,
  lengthWithoutZeros,
  SEGMENT_RECORDS,
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

const BY_SEVERITY: Record<AuditSource, Record<AuditSeverity, AuditEntry>> = {
  agent: {
    info: { event: "console.opened", result: "ok" },
    notice: { event: "tunnel.connected", result: "ok" },
    warning: { event: "tunnel.refused", result: "failed" },
    high: { event: "hub.untrusted", result: "refused" },
  },
  warden: {
    info: { event: "identity.read", result: "ok" },
    notice: { event: "time.set", result: "ok" },
    warning: { event: "time.refused", result: "refused" },
    high: { event: "audit.witness-refused", result: "refused" },
  },
};

function usedOn(disk: AuditDisk): number {
  return [...disk.files.contents.values()].reduce((sum, file) => sum + file.byteLength, 0);
}

/** What records and hashes fill, without the room reserved for more of them. */
function filledOn(disk: AuditDisk): number {
  return [...disk.files.contents.values()].reduce((sum, file) => sum + lengthWithoutZeros(file), 0);
}

function marksOf(
  events: readonly { readonly event: string; readonly detail?: Readonly<Record<string, unknown>> | undefined }[],
): unknown[] {
  return events.filter(({ event }) => event === "tunnel.connected").map(({ detail }) => detail?.["mark"]);
}

test("[AUD-10] a write that fails after any part of it reached the file: the callers get a fault, the rest is cut, and the cut is recorded", async (t) => {
  for (const prefix of [0, 1, 8, 100, 255, 300, 400, 100_000]) {
    const disk = auditDisk();
    const log = await openOn(disk);
    await log.append(entryOf(1));
    const written = (): number => lengthWithoutZeros(disk.files.contents.get("segment-0-0000000000") ?? Buffer.of());
    const before = written();
    disk.files.faults.failAt(1, "file.write-failed", prefix);
    await t.rejects(log.append(entryOf(2)), { code: "audit.write-failed", cause: { code: "file.write-failed" } });
    const reached = written() - before;
    t.equal(log.head.size, 2);
    const seq = await log.append(entryOf(3));
    const events = await eventsOf(log);
    t.strictSame(marksOf(events), [1, 3], `${reached} bytes`);
    t.equal(seq, reached > 0 ? 3 : 2);
    if (reached > 0) t.match(events[2], { event: "audit.recovered", detail: { lostBytes: reached, lastSeq: 1 } });
    t.equal((await openOn(disk)).tampered, undefined);
  }
});

test("[AUD-23] after a failed write the file is read again: other contents than before end that log, and a new one begins", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk);
  const { auditKey } = log;
  await appendMany(log, 5);
  disk.files.faults.failAt(1, "file.write-failed", 10);
  await t.rejects(log.append(entryOf(6)), { code: "audit.write-failed" });
  const bytes = disk.files.contents.get("segment-0-0000000000") ?? new Uint8Array();
  bytes[lengthWithoutZeros(bytes) - 500] = 0; // the kernel returns other bytes than it took
  t.equal(await log.append(entryOf(7)), 1);
  t.not(log.auditKey, auditKey);
  t.match(await eventsOf(log), [{ event: "audit.tampered", detail: { epoch: 0, until: 6 } }, { event: "tunnel.connected" }]);
});

test("[AUD-10] a fault at any change of the disk, in a run over the end of a segment: every answered record is there, and the log is sound", async (t) => {
  const count = SEGMENT_RECORDS + 20;
  const dry = auditDisk();
  const dryLog = await openOn(dry, { limits: { batchRecordsMax: 16 } });
  await appendMany(dryLog, count);
  await dryLog.close();
  const changes = dry.files.faults.changes;
  t.ok(changes > 18, `${changes} changes`);
  for (const code of ["file.write-failed", "file.no-space"] as const)
    for (let at = 1; at <= changes; at++) {
      const disk = auditDisk();
      disk.files.faults.failAt(at, code, at * 37);
      const opened = await openOn(disk, { limits: { batchRecordsMax: 16 } }).catch(() => undefined);
      const log = opened ?? (await openOn(disk, { limits: { batchRecordsMax: 16 } }));
      const outcomes = await Promise.allSettled(Array.from({ length: count }, (_, mark) => log.append(entryOf(mark))));
      const answered = outcomes.flatMap((outcome, mark) => (outcome.status === "fulfilled" ? [mark] : []));
      const crashed = copyDisk(disk); // and the power fails
      for (const [again, what] of [
        [log, "still open"],
        [await openOn(crashed), "opened again"],
      ] as const) {
        if (again.tampered !== undefined) t.fail(`${code} at change ${at}, ${what}: ${again.tampered.message}`);
        const marks = marksOf(await eventsOf(again));
        // an unanswered record may have reached a disk that crashed before the next write
        const found = again === log ? marks : marks.filter((mark) => answered.some((one) => one === mark));
        t.strictSame(found, answered, `${code} at change ${at}, ${what}`);
      }
      await log.checkpoint(SEGMENT_RECORDS);
      const trail = verifyTrail({ files: trailOf(crashed), auditKey: decodeVerifier(log.auditKey), checkpoints: [] });
      if (trail.finding !== undefined) t.fail(trail.finding.why);
    }
});

test("[AUD-25] a full disk: records are dropped and counted, and the count is recorded when there is space again", async (t) => {
  const disk = auditDisk();
  const log = await openOn(disk);
  await log.append(entryOf(1));
  disk.files.faults.failAlways("file.no-space");
  disk.state.faults.failAlways("file.no-space");
  for (let i = 0; i < 5; i++) await t.rejects(log.append(entryOf(i)), { code: "audit.full" });
  t.equal(log.head.dropped, 5);
  t.equal(log.head.size, 2);
  t.equal((await log.read(0, 10)).length, 2);
  await log.checkpoint(1); // reading and signing go on
  disk.files.faults.heal();
  disk.state.faults.heal();
  t.equal(await log.append(entryOf(9)), 3);
  t.match((await eventsOf(log, 2))[0], { event: "audit.dropped", result: "failed", detail: { count: 5, total: 5 } });
  await t.rejects(
    (async () => {
      disk.files.faults.failAlways("file.no-space");
      await log.append(entryOf(1));
    })(),
    { code: "audit.full" },
  );
  disk.files.faults.heal();
  const again = await openOn(disk);
  t.equal(again.head.dropped, 6);
  t.match((await eventsOf(again, 4))[0], { event: "audit.dropped", detail: { count: 1, total: 6 } });
});

test("[AUD-25] a disk that is full at the start does not keep the log from opening", async (t) => {
  const disk = auditDisk();
  await (await openOn(disk)).close();
  disk.files.faults.failAlways("file.no-space");
  disk.files.faults.failAt(1, "file.no-space");
  // cutting to the same length takes no space
  const files = { ...disk.files, truncate: async () => undefined };
  const log = await openOn({ files, state: disk.state });
  t.equal(log.head.dropped, 1);
  disk.files.faults.heal();
  await log.append(entryOf(1));
  t.match(
    (await eventsOf(log)).map(({ event }) => event),
    ["audit.started", "audit.dropped", "tunnel.connected"],
  );
});

/** Appends `entry` until it is refused. @returns how often it was taken. */
async function fill(log: AuditLog, entry: AuditEntry): Promise<number> {
  for (let taken = 0; ; taken++) {
    try {
      await log.append(entry);
    } catch (error) {
      if (error instanceof Fault && error.code === "audit.full") return taken;
      throw error;
    }
  }
}

test("[AUD-25] the byte bound: info is dropped first, then notice, then the rest, and the bound is never exceeded", async (t) => {
  const bytesMax = 64 * 1024;
  for (const [source, { info, notice, warning, high }] of Object.entries(BY_SEVERITY)) {
    const disk = auditDisk();
    const log = await openOn(disk, { limits: { bytesMax } });
    t.ok((await fill(log, info)) > 50, source);
    await t.rejects(log.append(info), { code: "audit.full" });
    t.ok((await fill(log, notice)) > 5);
    await t.rejects(log.append(info), { code: "audit.full" });
    t.ok((await fill(log, warning)) > 5);
    await t.rejects(log.append(high), { code: "audit.full" });
    t.ok(usedOn(disk) <= bytesMax, `${usedOn(disk)} of ${bytesMax}`);
    t.equal(log.head.dropped, 6);
  }
});

test("[AUD-26] the agent's records, of any severity, leave a fifth of the log to the warden's", async (t) => {
  const disk = auditDisk();
  const bytesMax = 64 * 1024;
  const log = await openOn(disk, { limits: { bytesMax } });
  await fill(log, BY_SEVERITY.agent.high);
  t.ok(filledOn(disk) <= bytesMax * 0.8, `${filledOn(disk)} of ${bytesMax}`);
  t.ok((await fill(log, BY_SEVERITY.warden.notice)) > 5);
  await t.rejects(log.append(BY_SEVERITY.agent.high), { code: "audit.full" });
  t.ok((await fill(log, BY_SEVERITY.warden.warning)) > 5);
  t.ok(usedOn(disk) <= bytesMax, `${usedOn(disk)} of ${bytesMax}`);
});

test("[AUD-13] the last sixteenth of the log is for granted authority, whatever fills the rest", async (t) => {
  const disk = auditDisk();
  const bytesMax = 256 * 1024;
  const log = await openOn(disk, { limits: { bytesMax } });
  for (const { info, notice, warning, high } of Object.values(BY_SEVERITY))
    for (const entry of [info, notice, warning, high]) await fill(log, entry);
  const granted = Object.keys(AUDIT_EVENTS).filter(isAuditEventName).filter(isAuthority);
  // a login, an order, a trial, a commit, a reboot, everything shut, a device let in, and more
  t.ok(granted.length >= 10, granted.join(" "));
  for (const event of granted) for (let n = 0; n < 3; n++) await log.append({ event, result: "ok" });
  await t.rejects(log.append(BY_SEVERITY.warden.high), { code: "audit.full" });
  t.ok(usedOn(disk) <= bytesMax, `${usedOn(disk)} of ${bytesMax}`);
  t.ok((await fill(log, { event: "login.accepted", result: "ok" })) > 10, "and then some");
});

test("[AUD-13] on a disk that is nearly full, and with too many records that wait, authority is dropped last", async (t) => {
  const disk = auditDisk();
  const log = await openOn(
    {
      state: disk.state,
      files: {
        ...disk.files,
        write: async (name, at, bytes) => {
          if (bytes.byteLength > 1000) throw new Fault("file.no-space", "write: a block is left");
          return await disk.files.write(name, at, bytes);
        },
      },
    },
    { limits: { waitingRecordsMax: 8 } },
  );
  const others = Array.from({ length: 20 }, () => log.append(BY_SEVERITY.warden.high));
  const login = log.append({ event: "login.accepted", result: "ok" });
  t.ok((await Promise.allSettled(others)).every(({ status }) => status === "rejected"));
  t.equal(await login, 1);
});

test("[AUD-11] witnessed segments are removed first, oldest first; unwitnessed segments always stay", async (t) => {
  const witness = testWitness();
  const disk = auditDisk();
  const limits = { bytesMax: 400 * 1024 };
  const log = await openOn(disk, { witness: witness.verifier, limits });
  await appendMany(log, 3 * SEGMENT_RECORDS);
  await witness.witness(log, 2 * SEGMENT_RECORDS + 5);
  const outcomes: PromiseSettledResult<number>[] = [];
  for (let i = 0; i < 10; i++) {
    outcomes.push(...(await Promise.allSettled(Array.from({ length: 128 }, (_, mark) => log.append(entryOf(mark))))));
  }
  t.ok(outcomes.some(({ status }) => status === "rejected"));
  const names = [...disk.files.contents.keys()].filter((name) => name.startsWith("segment"));
  t.notOk(names.includes("segment-0-0000000000"));
  t.notOk(names.includes("segment-0-0000000001"));
  t.ok(names.includes("segment-0-0000000002"), "not all of it was witnessed");
  t.ok(usedOn(disk) <= limits.bytesMax, `${usedOn(disk)} bytes`);
  await t.rejects(log.read(0, 1), { code: "audit.removed", message: /starts at 512/ });
  const made = await log.checkpoint(100); // from inside a removed segment
  t.ok(made.proof.length > 0);
  const again = await openOn(disk, { witness: witness.verifier, limits });
  t.equal(again.tampered, undefined);
  t.equal(again.head.witnessedSize, 2 * SEGMENT_RECORDS + 5);
  await witness.witness(again);
  // there is room again, as soon as the hub had witnessed
  await again.append(BY_SEVERITY.agent.info);
  t.match(
    (await eventsOf(again, 3 * SEGMENT_RECORDS)).some(({ event }) => event === "audit.dropped"),
    true,
  );
});

test("[AUD-11] a log that is witnessed as it grows goes on within its bound without end, and proves what its hashes reach", async (t) => {
  const witness = testWitness();
  const disk = auditDisk();
  const limits = { bytesMax: 400 * 1024 };
  const log = await openOn(disk, { witness: witness.verifier, limits });
  for (let round = 0; round < 60; round++) {
    await appendMany(log, 100);
    await witness.witness(log);
  }
  t.equal(log.head.dropped, 0);
  t.ok(usedOn(disk) <= limits.bytesMax, `${usedOn(disk)} bytes`);
  await log.checkpoint(256);
  await log.checkpoint(1024);
  await t.rejects(log.checkpoint(100), { code: "audit.removed" });
  const again = await openOn(disk, { witness: witness.verifier, limits });
  t.equal(again.tampered, undefined);
  const trail = verifyTrail({
    files: trailOf(disk),
    auditKey: decodeVerifier(log.auditKey),
    witness: witness.verifier,
    checkpoints: [Buffer.from(disk.state.contents.get("witnessed.note") ?? []).toString("utf8")],
  });
  t.match(trail, { finding: undefined, vouched: 6001, size: 6002 });
});
