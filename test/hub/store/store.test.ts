// The store: its bounds, its versions, and two processes that use it.
import { DatabaseSync } from "node:sqlite";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import * as v from "valibot";
import { test } from "tap";
import { type DeviceId, deviceIdSchema } from "../../../hal/format/identity.ts";
import { JOURNAL_DIFFERENT_MAX, JOURNAL_ROWS_MAX, MESSAGES_PER_DEVICE_MAX } from "../../../hub/limits.ts";
import { openStore, type Store } from "../../../hub/store/index.ts";
import { makeOlder } from "../../lab/worlds/older-store.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const ID = v.parse(deviceIdSchema, "gw-1");
const OTHER = v.parse(deviceIdSchema, "gw-2");

async function store(t: Parameters<typeof temporaryDirectory>[0]): Promise<{ readonly store: Store; readonly path: string }> {
  const path = join(await temporaryDirectory(t), "hub.db");
  const opened = await openStore(path);
  t.teardown(async () => opened.close());
  return { store: opened, path };
}

test("a store of an older version is upgraded with its content", async (t) => {
  const fingerprint = `sha256:${"1".repeat(64)}`;
  const other = `sha256:${"2".repeat(64)}`;
  const content = { csr: Buffer.of(1), serialNumber: "S", uris: ["urn:dev:x"], auditKey: undefined, address: "?", seenAtMs: 1 };
  const times = { notBeforeMs: 1, notAfterMs: 2, issuedAtMs: 1 };
  for (const version of [1, 2, 3, 4]) {
    const { path, store: hub } = await store(t);
    hub.journal.note("device.approved", ID, {}, 1);
    await hub.commit(
      hub.devices.request({ id: ID, fingerprint, ...content, protection: "tpm" }),
      hub.devices.decide(ID, fingerprint, "approved", 2, "anna"),
      hub.devices.request({ id: ID, fingerprint: other, ...content }),
      hub.certificates.add(ID, fingerprint, { serial: "00", der: Buffer.of(2), ...times }),
    );
    await hub.close();
    const database = new DatabaseSync(path);
    makeOlder(database, version);
    database.close();
    const upgraded = await openStore(path);
    t.teardown(() => upgraded.close());
    t.match(await upgraded.journal.tail(10, "info"), [{ event: "device.approved" }]);
    const outgoing = { deviceId: ID, id: "m", channel: "policy", kind: "k", correlation: undefined, message: "{}" } as const;
    await upgraded.commit(upgraded.outbox.add({ ...outgoing, queuedAtMs: 1, expiresAtMs: 2 }));
    t.match(await upgraded.outbox.find("m"), outgoing, `from version ${version}`);
    t.match(await upgraded.devices.approved(ID), { fingerprint, protection: undefined, decidedBy: "anna", serialNumber: "S" });
    t.match(await upgraded.certificates.newest(ID, fingerprint, Date.now()), { serial: "00" });
    await t.rejects(upgraded.commit(upgraded.devices.decide(ID, other, "approved", 3, "bob")), { code: "hub.store-conflict" });
    await upgraded.commit(upgraded.devices.succeed(ID, other, 9, 3, "bob"), upgraded.devices.claim(ID, fingerprint, "sealed"));
    t.match(await upgraded.devices.ofId(ID), [
      { fingerprint, state: "approved", protection: "sealed", overlapUntilMs: undefined },
      { fingerprint: other, state: "approved", overlapUntilMs: 9 },
    ]);
    const escrow = { auditKey: "k", madeAtMs: 1, storage: "s", receivedAtMs: 2, note: "n" };
    await upgraded.commit(upgraded.escrows.add(ID, escrow));
    t.same(await upgraded.escrows.ofDevice(ID), [escrow], `from version ${version}`);
  }
});

test("a store of a newer version is refused, and so is a file that is not a store", async (t) => {
  const { path, store: hub } = await store(t);
  await hub.close();
  const database = new DatabaseSync(path);
  database.exec("PRAGMA user_version = 99");
  database.close();
  for (const threads of [false, true])
    await t.rejects(openStore(path, { threads }), { code: "hub.store-failed", message: /version 99/ });
  const garbage = join(await temporaryDirectory(t), "hub.db");
  writeFileSync(garbage, "x".repeat(10_000));
  for (const threads of [false, true]) await t.rejects(openStore(garbage, { threads }), { code: "hub.store-failed" });
});

test("[STA-41] a store that another program is just making is waited for", async (t) => {
  const path = join(await temporaryDirectory(t), "hub.db");
  const other = new DatabaseSync(path);
  other.exec("BEGIN IMMEDIATE");
  let ended = false;
  const opening = openStore(path, { threads: true }).finally(() => (ended = true));
  await delay(500); // without the wait, it fails in this time
  t.notOk(ended);
  other.close();
  await (await opening).close();
});

test("repeated warnings are counted; operators' actions are stored one by one", async (t) => {
  const { store: hub } = await store(t);
  for (let at = 0; at < 100; at++) hub.journal.note("connection.refused", undefined, { reason: "no-certificate" }, at);
  hub.journal.note("connection.refused", undefined, { reason: "expired" }, 100);
  hub.journal.note("connection.refused", undefined, { reason: "no-certificate" }, 60_001);
  for (let at = 0; at < 3; at++) hub.journal.note("device.approved", ID, {}, at);
  t.match(await hub.journal.tail(10, "warning"), [
    { times: 100, firstAtMs: 0, lastAtMs: 99 },
    { times: 1, detail: { reason: "expired" } },
    { times: 1, lastAtMs: 60_001 },
  ]);
  t.equal((await hub.journal.tail(10, "info")).length, 6);
});

test("too many different warnings about one device, or about strangers, are counted too; those of other devices are separate", async (t) => {
  const { store: hub } = await store(t);
  for (let at = 0; at < 500; at++) hub.journal.note("connection.refused", undefined, { claimed: `gw-${at}` }, at);
  hub.journal.note("connection.refused", ID, { reason: "expired" }, 500);
  hub.journal.note("enrolment.refused", undefined, { id: "gw-1" }, 500);
  const entries = await hub.journal.tail(1000, "warning");
  t.equal(entries.length, JOURNAL_DIFFERENT_MAX + 1 + 2);
  t.equal(
    entries.reduce((sum, { times }) => sum + times, 0),
    502,
    "none goes uncounted",
  );
  t.match(entries[JOURNAL_DIFFERENT_MAX], { detail: { more: /more than 32 different/ }, times: 500 - JOURNAL_DIFFERENT_MAX });
  hub.journal.note("connection.refused", undefined, { claimed: "gw-0" }, 400);
  t.equal((await hub.journal.tail(1000, "warning"))[0]?.times, 2, "a repetition still raises the count");
  hub.journal.note("connection.refused", undefined, { claimed: "gw-new" }, 70_000);
  t.match(await hub.journal.tail(1, "warning"), [{ detail: { claimed: "gw-new" } }], "a minute later each is stored again");
});

test("a full journal drops the oldest entries of who has the most: strangers cannot displace operators' actions", async (t) => {
  const { store: hub, path } = await store(t);
  for (let at = 0; at < 3; at++) hub.journal.note("device.approved", ID, {}, at);
  hub.journal.note("audit.forked", ID, {}, 3);
  await hub.journal.flush();
  const database = new DatabaseSync(path);
  t.teardown(() => database.close());
  database.exec(`WITH RECURSIVE count (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < ${JOURNAL_ROWS_MAX})
    INSERT INTO journal (event, severity, deviceId, detail, firstAt, lastAt, times)
    SELECT 'connection.opened', 'info', 'gw-2', '{}', n, n, 1 FROM count`);
  for (let n = 0; n < 3 * 1024; n++) hub.journal.note("connection.opened", OTHER, {}, n);
  await hub.journal.flush();
  t.ok(Number(database.prepare("SELECT count(*) AS n FROM journal").get()?.["n"]) <= JOURNAL_ROWS_MAX + 1024);
  t.equal(database.prepare("SELECT count(*) AS n FROM journal WHERE deviceId = 'gw-1'").get()?.["n"], 4);
});

test("text of strangers is stored bounded and without control characters", async (t) => {
  const { store: hub } = await store(t);
  hub.journal.note("connection.refused", undefined, { claimed: `\u001b[2Jgw\n${"x".repeat(5000)}\ud800` }, 1);
  const claimed = (await hub.journal.tail(1, "warning"))[0]?.detail["claimed"];
  t.match(claimed, /^\?\[2Jgw\?x+$/);
  t.equal(String(claimed).length, 512);
});

test("[TUN-8] ids are remembered per device, and no device can make the store grow without bound", async (t) => {
  const { store: hub } = await store(t);
  const message = { channel: "event", at: "2026-11-22T10:00:00Z", receivedAtMs: 1, body: "{}" } as const;
  const first = randomUUID();
  const add = (id: DeviceId) => hub.commit(hub.messages.add(id, { ...message, id: first }));
  await add(ID);
  await t.rejects(add(ID), { code: "hub.store-conflict" });
  t.same([...(await hub.messages.known(ID, [first, randomUUID()]))], [first]);
  await add(OTHER); // ids of another device are separate
  const ids = Array.from({ length: MESSAGES_PER_DEVICE_MAX + 200 }, () => randomUUID());
  await hub.commit(...ids.map((id) => hub.messages.add(ID, { ...message, id })));
  const kept = (await hub.messages.last(ID, "event", 10_000)).length;
  t.ok(kept >= MESSAGES_PER_DEVICE_MAX && kept < MESSAGES_PER_DEVICE_MAX + 200, String(kept));
  await t.rejects(add(OTHER), { code: "hub.store-conflict" }, "the other device is not affected");
  await hub.commit(hub.messages.add(OTHER, { ...message, id: randomUUID(), body: "x".repeat(5000) }));
  t.equal((await hub.messages.last(OTHER, "event", 1))[0]?.body, undefined, "a large body is not stored, only its id");
});

test("two processes see what the other one wrote", async (t) => {
  const path = join(await temporaryDirectory(t), "hub.db");
  const hub = await openStore(path, { threads: true });
  t.teardown(() => hub.close());
  const version = await hub.version();
  hub.journal.note("device.denied", ID, {}, 1);
  await hub.journal.flush();
  t.equal(await hub.version(), version, "its own commits are no news to the hub");
  const second = await openStore(path);
  second.journal.note("device.approved", ID, {}, 1);
  await second.close();
  t.not(await hub.version(), version);
  t.equal((await hub.journal.tail(10, "info")).length, 2);
});
