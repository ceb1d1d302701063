// The store: its bounds, its versions, and two processes that use it.
import { DatabaseSync } from "node:sqlite";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import { JOURNAL_DIFFERENT_MAX, JOURNAL_ROWS_MAX, MESSAGES_PER_DEVICE_MAX } from "../../../hub/limits.ts";
import { openStore, type Store } from "../../../hub/store/index.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const ID = v.parse(deviceIdSchema, "gw-1");
const OTHER = v.parse(deviceIdSchema, "gw-2");

async function store(t: Parameters<typeof temporaryDirectory>[0]): Promise<{ readonly store: Store; readonly path: string }> {
  const path = join(await temporaryDirectory(t), "hub.db");
  const opened = openStore(path);
  t.teardown(async () => opened.close());
  return { store: opened, path };
}

test("a transaction that fails leaves nothing behind, and its fault is thrown", async (t) => {
  const { store: hub } = await store(t);
  t.throws(
    () =>
      hub.transaction(() => {
        hub.journal.add("device.approved", ID, {}, 1);
        throw new Fault("hub.device-unknown", "changed my mind");
      }),
    { code: "hub.device-unknown" },
  );
  t.same(hub.journal.tail(10, "info"), []);
});

test("a store of an older version is upgraded with its content", async (t) => {
  for (const [version, later] of [
    [1, ["outbox", "auditFrontiers"]],
    [2, ["outbox"]],
  ] as const) {
    const { path, store: hub } = await store(t);
    hub.journal.add("device.approved", ID, {}, 1);
    hub.close();
    const database = new DatabaseSync(path);
    for (const table of later) database.exec(`DROP TABLE ${table}`);
    database.exec(`PRAGMA user_version = ${version}`);
    database.close();
    const upgraded = openStore(path);
    t.teardown(() => upgraded.close());
    t.match(upgraded.journal.tail(10, "info"), [{ event: "device.approved" }]);
    const outgoing = { deviceId: ID, id: "m", channel: "policy", kind: "k", correlation: undefined, message: "{}" } as const;
    upgraded.outbox.add({ ...outgoing, queuedAtMs: 1, expiresAtMs: 2 });
    t.match(upgraded.outbox.find("m"), outgoing, `from version ${version}`);
  }
});

test("a store of a newer version is refused, and so is a file that is not a store", async (t) => {
  const { path, store: hub } = await store(t);
  hub.close();
  const database = new DatabaseSync(path);
  database.exec("PRAGMA user_version = 99");
  database.close();
  t.throws(() => openStore(path), { code: "hub.store-failed", message: /version 99/ });
  const garbage = join(await temporaryDirectory(t), "hub.db");
  writeFileSync(garbage, "x".repeat(10_000));
  t.throws(() => openStore(garbage), { code: "hub.store-failed" });
});

test("repeated warnings are counted; operators' actions are stored one by one", async (t) => {
  const { store: hub } = await store(t);
  for (let at = 0; at < 100; at++) hub.journal.add("connection.refused", undefined, { reason: "no-certificate" }, at);
  hub.journal.add("connection.refused", undefined, { reason: "expired" }, 100);
  hub.journal.add("connection.refused", undefined, { reason: "no-certificate" }, 60_001);
  for (let at = 0; at < 3; at++) hub.journal.add("device.approved", ID, {}, at);
  t.match(hub.journal.tail(10, "warning"), [
    { times: 100, firstAtMs: 0, lastAtMs: 99 },
    { times: 1, detail: { reason: "expired" } },
    { times: 1, lastAtMs: 60_001 },
  ]);
  t.equal(hub.journal.tail(10, "info").length, 6);
});

test("too many different warnings about one device, or about strangers, are counted too; those of other devices are separate", async (t) => {
  const { store: hub } = await store(t);
  for (let at = 0; at < 500; at++) hub.journal.add("connection.refused", undefined, { claimed: `gw-${at}` }, at);
  hub.journal.add("connection.refused", ID, { reason: "expired" }, 500);
  hub.journal.add("enrolment.refused", undefined, { id: "gw-1" }, 500);
  const entries = hub.journal.tail(1000, "warning");
  t.equal(entries.length, JOURNAL_DIFFERENT_MAX + 1 + 2);
  t.equal(
    entries.reduce((sum, { times }) => sum + times, 0),
    502,
    "none goes uncounted",
  );
  t.match(entries[JOURNAL_DIFFERENT_MAX], { detail: { more: /more than 32 different/ }, times: 500 - JOURNAL_DIFFERENT_MAX });
  hub.journal.add("connection.refused", undefined, { claimed: "gw-0" }, 400);
  t.equal(hub.journal.tail(1000, "warning")[0]?.times, 2, "a repetition still raises the count");
  hub.journal.add("connection.refused", undefined, { claimed: "gw-new" }, 70_000);
  t.match(hub.journal.tail(1, "warning"), [{ detail: { claimed: "gw-new" } }], "a minute later each is stored again");
});

test("a full journal drops the oldest entries of the most frequent severity: strangers cannot displace operators' actions", async (t) => {
  const { store: hub } = await store(t);
  hub.transaction(() => {
    for (let at = 0; at < 3; at++) hub.journal.add("device.approved", ID, {}, at);
    hub.journal.add("audit.forked", ID, {}, 3);
    for (let n = 0; n < JOURNAL_ROWS_MAX + 2048; n++) hub.journal.add("connection.opened", OTHER, {}, n);
  });
  const stored = hub.journal.tail(2 * JOURNAL_ROWS_MAX, "info");
  t.ok(stored.length <= JOURNAL_ROWS_MAX + 1024, String(stored.length));
  t.equal(stored.filter(({ deviceId }) => deviceId === ID).length, 4);
});

test("text of strangers is stored bounded and without control characters", async (t) => {
  const { store: hub } = await store(t);
  const { detail } = hub.journal.add("connection.refused", undefined, { claimed: `\u001b[2Jgw\n${"x".repeat(5000)}\ud800` }, 1);
  t.match(detail["claimed"], /^\?\[2Jgw\?x+$/);
  t.equal(String(detail["claimed"]).length, 512);
});

test("[TUN-8] ids are remembered per device, and no device can make the store grow without bound", async (t) => {
  const { store: hub } = await store(t);
  const message = { channel: "event", at: "2026-11-22T10:00:00Z", receivedAtMs: 1, body: "{}" } as const;
  const first = randomUUID();
  t.equal(hub.messages.add(ID, { ...message, id: first }), true);
  t.equal(hub.messages.add(ID, { ...message, id: first }), false);
  t.equal(hub.messages.add(OTHER, { ...message, id: first }), true, "ids of another device are separate");
  hub.transaction(() => {
    for (let n = 0; n < MESSAGES_PER_DEVICE_MAX + 200; n++) hub.messages.add(ID, { ...message, id: randomUUID() });
  });
  const stored = hub.messages.last(ID, "event", 10_000).length;
  t.ok(stored >= MESSAGES_PER_DEVICE_MAX && stored < MESSAGES_PER_DEVICE_MAX + 200, String(stored));
  t.equal(hub.messages.add(OTHER, { ...message, id: first }), false, "the other device is not affected");
  hub.messages.add(OTHER, { ...message, id: randomUUID(), body: "x".repeat(5000) });
  t.equal(hub.messages.last(OTHER, "event", 1)[0]?.body, undefined, "a large body is not stored, only its id");
});

test("two processes see what the other one wrote", async (t) => {
  const { store: hub, path } = await store(t);
  const version = hub.version();
  const second = openStore(path);
  second.journal.add("device.approved", ID, {}, 1);
  second.close();
  t.not(hub.version(), version);
  t.equal(hub.journal.tail(10, "info").length, 1);
});
