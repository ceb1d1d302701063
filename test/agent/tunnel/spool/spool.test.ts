import { test } from "tap";
import { type Drop, openSpool, type Spool, SPOOL_CLASSES, type SpoolOptions } from "../../../../agent/tunnel/spool/index.ts";
import { bootTag, encodeRecords, scan } from "../../../../agent/tunnel/spool/record.ts";
import { Fault } from "../../../../hal/fault.ts";
import { type FakeAppendFiles, fakeAppendFiles } from "../../../lab/fakes/files.ts";

const DAY_MS = 86_400_000;
const BOOT = "0f0e0d0c-0b0a-4908-8706-050403020100";
const LIMITS = { bytesMax: 400_000, ageMsMax: 30 * DAY_MS };

interface Fixture {
  readonly spool: Spool;
  readonly drops: Drop[];
}

async function open(files: FakeAppendFiles, override: Partial<SpoolOptions> = {}): Promise<Fixture> {
  const drops: Drop[] = [];
  const spool = await openSpool({
    files,
    limits: LIMITS,
    clock: { nowMs: () => 1_800_000_000_000, monotonicMs: () => 1_000_000 },
    bootId: BOOT,
    clockIsSynced: () => true,
    onDrop: (drop) => drops.push(drop),
    onFault: (fault) => {
      throw fault;
    },
    ...override,
  });
  return { spool, drops };
}

const text = (content: string): Uint8Array => Buffer.from(content);

/** Takes all messages that are handed out now, without acknowledging them. */
async function drain(spool: Spool): Promise<readonly string[]> {
  const messages: string[] = [];
  for (let message = await spool.next(); message !== undefined; message = await spool.next())
    messages.push(Buffer.from(message.payload).toString());
  return messages;
}

test("[TUN-6] a message stays in the spool until it is acknowledged, across connections and restarts", async (t) => {
  const files = fakeAppendFiles();
  const { spool } = await open(files);
  await spool.append("event", "event", text("one"));
  await spool.append("event", "event", text("two"));
  t.same(await drain(spool), ["one", "two"]);
  t.same(await drain(spool), [], "handed out once");
  await spool.rewind();
  const first = await spool.next();
  first?.acknowledge();
  await spool.rewind();
  t.same(await drain(spool), ["two"], "only unacknowledged messages are handed out once more");
  await spool.close();
  const { spool: reopened } = await open(files);
  t.same(await drain(reopened), ["two"]);
  t.same(reopened.status().messages, 1);
});

test("[TUN-20] the most precious class is sent first, and in a class the oldest message", async (t) => {
  const { spool } = await open(fakeAppendFiles());
  await spool.append("telemetry", "telemetry", text("t1"));
  await spool.append("event", "event", text("e1"));
  await spool.append("result", "result", text("r1"));
  await spool.append("result", "update", text("r2"));
  t.same(await drain(spool), ["r1", "r2", "e1", "t1"]);
  t.same(SPOOL_CLASSES, ["result", "event", "telemetry"], "audit records have no class, because they have a log of their own");
});

test("[TUN-20] a full spool drops the oldest telemetry, then the oldest events; results are refused, not replaced", async (t) => {
  const { spool, drops } = await open(fakeAppendFiles());
  const big = (name: string): Uint8Array => text(name.padEnd(60_000, "."));
  await spool.append("telemetry", "telemetry", big("t1"));
  await spool.append("telemetry", "telemetry", big("t2"));
  await spool.append("event", "event", big("e1"));
  await spool.append("event", "event", big("e2"));
  await spool.append("result", "result", big("r1"));
  await spool.append("result", "result", big("r2"));
  t.same(drops, [], "six fit into 400,000 bytes");
  await spool.append("event", "event", big("e3"));
  t.same(drops.splice(0), [{ class: "telemetry", reason: "full", messages: 1 }]);
  await spool.append("result", "result", big("r3"));
  await spool.append("result", "result", big("r4"));
  t.same(drops.splice(0), [
    { class: "telemetry", reason: "full", messages: 1 },
    { class: "event", reason: "full", messages: 1 },
  ]);
  await spool.append("event", "event", big("e4"));
  t.same(drops.splice(0), [{ class: "event", reason: "full", messages: 1 }], "a new event replaces the oldest");
  await t.rejects(spool.append("telemetry", "telemetry", big("t3")), { code: "spool.full" }, "telemetry replaces no event");
  await spool.append("result", "result", big("r5"));
  await spool.append("result", "result", big("r6"));
  drops.splice(0);
  await t.rejects(
    spool.append("result", "result", big("r7")),
    { code: "spool.full" },
    "an accepted result is never dropped for another",
  );
  t.same(drops, [], "a refusal to the caller is not a drop");
  const rest = (await drain(spool)).map((payload) => payload.slice(0, 2));
  t.same(rest, ["r1", "r2", "r3", "r4", "r5", "r6"]);
  t.equal(spool.status().dropped, 6, "every loss was counted");
});

test("[TUN-20] acknowledged messages make room before any other is dropped", async (t) => {
  const { spool, drops } = await open(fakeAppendFiles());
  const big = (name: string): Uint8Array => text(name.padEnd(60_000, "."));
  for (let round = 0; round < 20; round += 1) {
    await spool.append("result", "result", big(`r${round}`));
    const message = await spool.next();
    message?.acknowledge();
  }
  t.same(drops, []);
  t.equal(spool.status().messages, 0);
});

test("[TUN-21] a message larger than the spool is refused at once", async (t) => {
  const { spool } = await open(fakeAppendFiles(), { limits: { ...LIMITS, bytesMax: 1000 } });
  await t.rejects(spool.append("result", "result", new Uint8Array(1000)), { code: "spool.too-large" });
});

test("[TUN-7] messages that wait for the disk are bounded", async (t) => {
  const { spool } = await open(fakeAppendFiles(), { limits: { ...LIMITS, bytesMax: 100_000_000 } });
  const appends = Array.from({ length: 10 }, () => spool.append("result", "result", new Uint8Array(200_000)));
  const outcomes = await Promise.allSettled(appends);
  t.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 5, "at most one MiB waits to be written");
  t.match(outcomes.at(-1), { status: "rejected", reason: { code: "spool.full" } });
  await spool.append("result", "result", text("later"));
});

test("[TUN-20] [TUN-73] expired messages are dropped instead of sent, where the hub had set the clock both times", async (t) => {
  const files = fakeAppendFiles();
  const clock = { ms: 0, synced: false };
  const options = { clock: { nowMs: () => clock.ms, monotonicMs: () => 0 }, clockIsSynced: () => clock.synced };
  const { spool, drops } = await open(files, options);
  await spool.append("event", "event", text("of 1970"));
  clock.ms = 1_800_000_000_000;
  clock.synced = true;
  await spool.append("event", "event", text("dated"));
  clock.ms += 30 * DAY_MS;
  t.same(await drain(spool), ["of 1970", "dated"], "a date of 1970 does not count, and 30 days are not more than 30");
  clock.ms += 1;
  clock.synced = false;
  await spool.rewind();
  t.same(await drain(spool), ["of 1970", "dated"], "with a clock that the hub has not set nothing expires");
  clock.synced = true;
  await spool.rewind();
  t.same(await drain(spool), ["of 1970"]);
  t.same(drops, [{ class: "event", reason: "expired", messages: 1 }]);
});

test("[TUN-73] without hub time the age of a message counts by the monotonic clock of its boot, whatever the wall clock does", async (t) => {
  const files = fakeAppendFiles();
  const now = { ms: 1_800_000_000_000, monotonicMs: 5_000 };
  const clock = { nowMs: () => now.ms, monotonicMs: () => now.monotonicMs };
  const options = { clock, clockIsSynced: () => false };
  const { spool, drops } = await open(files, options);
  await spool.append("result", "result", text("first"));
  now.monotonicMs += DAY_MS;
  await spool.append("event", "event", text("second"));
  for (const stepMs of [40 * DAY_MS, -90 * DAY_MS, 5 * 365 * DAY_MS, -5 * 365 * DAY_MS]) {
    now.ms += stepMs;
    await spool.rewind();
    t.same(await drain(spool), ["first", "second"], `a step of ${stepMs / DAY_MS} days`);
  }
  now.monotonicMs += 29 * DAY_MS + 1;
  // the agent restarted in the same boot
  const again = await open(files, options);
  t.same(await drain(again.spool), ["second"], "30 days and 1 ms after it was written");
  t.same([...drops, ...again.drops], [{ class: "result", reason: "expired", messages: 1 }]);
  await again.spool.close();
  now.monotonicMs += 300 * DAY_MS;
  const rebooted = await open(files, { ...options, bootId: "another" });
  t.same(await drain(rebooted.spool), ["second"], "another boot has another monotonic clock");
  const unknown = await open(files, { ...options, bootId: undefined });
  t.same(await drain(unknown.spool), ["second"]);
  t.same([...rebooted.drops, ...unknown.drops], []);
});

test("[TUN-73] a program that knows only dated and undated messages reads those of a boot as undated", async (t) => {
  for (const bootId of Array.from({ length: 200 }, (_, n) => `boot ${n}`)) {
    const atMs = 12_345_678_901;
    const written = { by: "boot", boot: bootTag(bootId), atMs } as const;
    const records = encodeRecords([{ channel: "event", written, payload: text("{}") }], undefined);
    // u32 length, u32 checksum, u8 kind, u8 channel, u8 clock: 1 is dated
    if (records[10] === 1 || !Number.isFinite(Buffer.from(records).readDoubleLE(11))) t.fail(bootId);
    const [item] = scan(records).items;
    t.match(item, { kind: "message", entry: { written } });
  }
});

test("[TUN-6] after a crash a bounded number of acknowledged messages is sent twice, and none is lost", async (t) => {
  const files = fakeAppendFiles();
  const { spool } = await open(files);
  for (let number = 0; number < 100; number += 1) await spool.append("event", "event", text(String(number)));
  for (let number = 0; number < 70; number += 1) (await spool.next())?.acknowledge();
  await spool.next(); // waits until the work in the background is done
  const { spool: reopened } = await open(files); // without close, as after a kill of the process
  const rest = await drain(reopened);
  t.ok(rest.length >= 30 && rest.length < 30 + 33, `${rest.length} are sent, 30 were not acknowledged`);
  t.equal(rest.at(-1), "99");
  t.equal(rest.length, 100 - Number(rest[0]), "without a gap");
});

test("[TUN-6] a torn end is cut off, and the messages before it are sent", async (t) => {
  const files = fakeAppendFiles();
  const { spool } = await open(files);
  await spool.append("event", "event", text("whole"));
  await spool.append("event", "event", text("torn"));
  const [[name, file] = ["", new Uint8Array()]] = files.contents;
  const end = file.findLastIndex((byte) => byte !== 0) + 1;
  t.ok(file.byteLength > end, "zeros follow the records");
  for (let cut = 1; cut < 20; cut += 1) {
    const cutOff = file.subarray(0, end - cut);
    // the disk may have written nothing behind the cut, or the zeros that were there before
    for (const bytes of [cutOff, Buffer.concat([cutOff, new Uint8Array(file.byteLength - end + cut)])]) {
      files.contents.set(name, bytes);
      const { spool: reopened, drops } = await open(files);
      t.same(await drain(reopened), ["whole"]);
      t.same(drops, [], "a torn end is no loss, because its append never resolved");
    }
  }
  const { spool: reopened } = await open(files);
  await reopened.append("event", "event", text("after"));
  const { spool: last } = await open(files);
  t.same(await drain(last), ["whole", "after"], "messages appended after the cut are sound");
});

test("[TUN-6] the rest of a damaged segment is lost and counted, and does not hold up other segments", async (t) => {
  const files = fakeAppendFiles();
  const { spool } = await open(files);
  const big = (name: string): Uint8Array => text(name.padEnd(30_000, "."));
  for (const name of ["m0", "m1", "m2", "m3", "m4"]) await spool.append("result", "result", big(name));
  const [name = ""] = await files.list();
  const bytes = files.contents.get(name)?.slice() ?? new Uint8Array();
  bytes[40_000] = 0xff; // in the middle of the second record
  files.contents.set(name, bytes);
  const { spool: reopened, drops } = await open(files);
  t.same(
    (await drain(reopened)).map((payload) => payload.slice(0, 2)),
    ["m0", "m2", "m3", "m4"],
  );
  t.same(drops, [{ class: "result", reason: "damaged", messages: 1 }]);
  await reopened.append("result", "result", big("m5"));
  t.same(
    (await drain(reopened)).map((payload) => payload.slice(0, 2)),
    ["m5"],
  );
});

test("[STA-15] [TUN-6] a segment that the disk does not give back while the spool is open holds up nothing behind it", async (t) => {
  const files = fakeAppendFiles();
  const big = (name: string): Uint8Array => text(name.padEnd(30_000, "."));
  const { spool: before } = await open(files);
  for (const name of ["m0", "m1", "m2", "m3", "m4"]) await before.append("result", "result", big(name));
  const [bad = ""] = await files.list();
  let isBad = false;
  const { spool, drops } = await open({
    ...files,
    read: async (name, bytesMax) => {
      if (isBad && name === bad) throw new Fault("file.read-failed", "EIO: a bad block");
      return await files.read(name, bytesMax);
    },
  });
  isBad = true;
  const left = (await drain(spool)).map((payload) => payload.slice(0, 2));
  t.match(left.join(" "), /^(?:m[1-4] ?)+$/u);
  t.ok(left.includes("m4"), "what is in other segments arrives");
  t.same(drops, [{ class: "result", reason: "damaged", messages: 5 - left.length }]);
});

test("[TUN-6] a segment that vanishes while the spool is open is given up and counted", async (t) => {
  const files = fakeAppendFiles();
  const { spool, drops } = await open(files);
  await spool.append("result", "result", text("one"));
  await spool.append("result", "result", text("two"));
  files.contents.clear();
  await spool.rewind();
  t.same(await drain(spool), []);
  t.same(drops, [{ class: "result", reason: "damaged", messages: 2 }]);
  await spool.append("result", "result", text("three"));
  t.same(await drain(spool), ["three"]);
  t.same(await drain((await open(files)).spool), ["three"]);
});

test("[TUN-6] a failing append rejects; the next one is sound, whatever the first has left on disk", async (t) => {
  for (const prefixBytes of [0, 5, 20, 1_000_000]) {
    const files = fakeAppendFiles();
    const { spool } = await open(files);
    await spool.append("result", "result", text("before"));
    files.faults.failAt(1, "file.no-space", prefixBytes);
    await t.rejects(spool.append("result", "result", text("failed")), { code: "file.no-space" });
    await spool.append("result", "result", text("after"));
    t.same(await drain(spool), ["before", "after"]);
    t.same(await drain((await open(files)).spool), ["before", "after"], `with ${prefixBytes} bytes of the failed one`);
  }
});

test("[TUN-6] a failed append that reached the disk complete takes no number, even if the next opens a new segment", async (t) => {
  const files = fakeAppendFiles();
  const { spool } = await open(files);
  await spool.append("result", "result", text("before"));
  files.faults.failAt(1, "file.write-failed", 1_000_000);
  await t.rejects(spool.append("result", "result", text("failed")), { code: "file.write-failed" });
  const large = "after".padEnd(70_000, ".");
  await spool.append("result", "result", text(large));
  t.same(await drain((await open(files)).spool), ["before", large]);
});

test("[TUN-6] a full disk refuses every append, and accepts them once it has room", async (t) => {
  const files = fakeAppendFiles();
  const { spool } = await open(files);
  files.faults.failAlways("file.no-space");
  await t.rejects(spool.append("result", "result", text("one")), { code: "file.no-space" });
  await t.rejects(spool.append("event", "event", text("two")), { code: "file.no-space" });
  files.faults.heal();
  await spool.append("result", "result", text("three"));
  t.same(await drain(spool), ["three"]);
  t.equal(spool.status().messages, 1);
});

test("[TUN-6] a segment whose first write failed does not hold up later messages", async (t) => {
  const files = fakeAppendFiles();
  const { spool } = await open(files);
  // Larger than a segment, so that each message has one of its own.
  const large = Buffer.alloc(70_000, "x");
  await spool.append("event", "event", large);
  await spool.append("event", "event", text("two"));
  await spool.next();
  (await spool.next())?.acknowledge();
  await spool.rewind();
  files.faults.failAt(1, "file.write-failed", 12);
  await t.rejects(spool.append("event", "event", large), { code: "file.write-failed" });
  (await spool.next())?.acknowledge();
  // Only the empty segment is left now, and it begins beyond the last message that was handed out.
  t.equal(await spool.next(), undefined);
  await spool.append("event", "event", text("three"));
  t.same(await drain(spool), ["three"]);
});

test("[TUN-6] what is durable is handed out while another message is being written", async (t) => {
  const files = fakeAppendFiles();
  const writing = Promise.withResolvers<void>();
  const appends: Promise<void>[] = [];
  const slow = {
    ...files,
    write: async (...words: Parameters<typeof files.write>): Promise<number> => {
      await appends.shift();
      return files.write(...words);
    },
  };
  const { spool } = await open(slow);
  await spool.append("event", "event", text("durable"));
  appends.push(writing.promise);
  const second = spool.append("event", "event", text("being written"));
  const first = spool.nextReady();
  t.equal(first === "on-disk" ? first : first?.payload.toString(), "durable");
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(spool.nextReady(), undefined, "what is not durable is not handed out");
  writing.resolve();
  await second;
  const next = spool.nextReady();
  t.equal(next === "on-disk" ? next : next?.payload.toString(), "being written");
});

test("[TUN-20] a less precious message does not overtake one that has to be read from the disk", async (t) => {
  const files = fakeAppendFiles();
  const { spool } = await open(files);
  await spool.append("result", "result", text("precious"));
  await spool.append("telemetry", "telemetry", text("ready"));
  await spool.rewind();
  t.equal(spool.nextReady(), "on-disk");
  t.same(await drain(spool), ["precious", "ready"]);
});

test("[TUN-20] a segment holds a 64th of the spool, and at least 64 KiB", async (t) => {
  for (const [bytesMax, expected] of [
    [400_000, 65_536],
    [8_388_608, 131_072],
    [100_000_000, 262_144],
  ] as const) {
    const files = fakeAppendFiles();
    const { spool } = await open(files, { limits: { bytesMax, ageMsMax: DAY_MS } });
    while (files.contents.size < 2) await spool.append("event", "event", new Uint8Array(1000));
    const [first] = files.contents.values();
    t.ok(first !== undefined && first.byteLength <= expected && first.byteLength > expected - 1100, `${first?.byteLength}`);
  }
});

test("[TUN-6] room behind the records of a full segment is no damage, anything else there is", async (t) => {
  const files = fakeAppendFiles();
  const { spool } = await open(files);
  const sent = Array.from({ length: 7 }, (_, number) => `${number}`.padEnd(20_000, "."));
  for (const one of sent) await spool.append("event", "event", text(one));
  const [first = ""] = await files.list();
  const bytes = files.contents.get(first)?.slice() ?? new Uint8Array();
  t.equal(bytes.at(-1), 0, "the first segment has room left that no message fits into");
  const { spool: reopened, drops } = await open(files);
  t.same(await drain(reopened), sent);
  t.same(drops, []);
  bytes[bytes.byteLength - 1] = 1;
  files.contents.set(first, bytes);
  const { drops: told } = await open(files);
  t.same(told, [{ class: "event", reason: "damaged", messages: 1 }]);
});

test("[TUN-6] messages overwrite the zeros behind them, and the file keeps its length", async (t) => {
  const files = fakeAppendFiles();
  const { spool } = await open(files);
  const lengths = new Set<number>();
  for (let number = 0; number < 50; number += 1) {
    await spool.append("event", "event", text(`${number}`));
    for (const { byteLength } of files.contents.values()) lengths.add(byteLength);
  }
  t.same([...lengths], [65_536]);
});

test("[STA-50] a spool on a read-only disk is read as it is, with torn ends and what could be removed, and goes on later", async (t) => {
  const files = fakeAppendFiles();
  const { spool } = await open(files);
  const big = (name: string): Uint8Array => text(name.padEnd(30_000, "."));
  for (const name of ["m0", "m1", "m2", "m3"]) await spool.append("result", "result", big(name));
  const names = await files.list();
  const last = names.at(-1) ?? "";
  files.contents.set(last, Buffer.concat([files.contents.get(last) ?? Buffer.alloc(0), Buffer.alloc(5000)]));
  files.faults.failAlways("file.read-only");
  const { spool: poor, drops } = await open(files);
  t.same(
    (await drain(poor)).map((payload) => payload.slice(0, 2)),
    ["m0", "m1", "m2", "m3"],
  );
  await t.rejects(poor.append("result", "result", text("m4")), { code: "file.read-only" });
  files.faults.heal();
  await poor.append("result", "result", text("m5"));
  const { spool: again } = await open(files);
  t.same(
    (await drain(again)).map((payload) => payload.slice(0, 2)),
    ["m0", "m1", "m2", "m3", "m5"],
  );
  t.same(drops, []);
});
