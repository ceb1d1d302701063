// Devices and strangers who make the hub write: each message, connection or refusal of theirs would
// be a row of its journal and a line of its output.
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import * as v from "valibot";
import { test } from "tap";
import { deviceIdSchema } from "../../hal/format/identity.ts";
import { JOURNAL_DIFFERENT_MAX, JOURNAL_FOLDED_MS, JOURNAL_ROWS_MAX, JOURNAL_STRANGERS_MAX } from "../../hub/limits.ts";
import { JOURNAL_EVENTS } from "../../hub/store/catalogue.ts";
import { type JournalEntry, type JournalEvent, openStore } from "../../hub/store/index.ts";
import type { TestContext } from "../lab/runner/context.ts";
import { eventually } from "../lab/runner/process.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { connect, enrolled, labDevice, labHub, labMessage } from "../lab/worlds/hub.ts";

const EVIL = v.parse(deviceIdSchema, "gw-evil");
const SOUND = v.parse(deviceIdSchema, "gw-sound");

/**
 * What an operator or the hub itself causes. Who adds an event here says that no peer causes it.
 */
const CAUSED_BY_OPERATORS: readonly JournalEvent[] = [
  "hub.started",
  "hub.stopped",
  "server-certificate.renewed",
  "device.approved",
  "device.denied",
  "device.revoked",
  "device.forgotten",
  "device.replaced",
  "device.rekey-allowed",
  "device.rekeyed",
  "device.board-admitted",
  "repository.published",
  "update.requested",
  "operation.asked",
  "operation.answered",
];
const EVENTS = v.parse(v.array(v.custom<JournalEvent>((name) => typeof name === "string")), Object.keys(JOURNAL_EVENTS));
const PACED = EVENTS.filter((event) => !CAUSED_BY_OPERATORS.includes(event));

async function journalOf(t: TestContext) {
  const path = join(await temporaryDirectory(t), "hub.db");
  const written: JournalEntry[] = [];
  const store = await openStore(path, { onEntry: (entry) => void written.push(entry) });
  t.teardown(() => store.close());
  const rows = (where = "1"): number => {
    const database = new DatabaseSync(path);
    const count = Number(database.prepare(`SELECT count(*) AS n FROM journal WHERE ${where}`).get()?.["n"]);
    database.close();
    return count;
  };
  return { store, path, written, rows };
}

test("[OPS-35] each event of the journal is caused by an operator, or paced for each device", async (t) => {
  for (const event of EVENTS) {
    const { store, rows, written } = await journalOf(t);
    const flood = 2000;
    for (let n = 0; n < flood; n++) store.journal.note(event, EVIL, { n, address: "192.0.2.1" }, 1000 + n);
    store.journal.note(event, SOUND, { n: 0, address: "192.0.2.2" }, 4000);
    await store.journal.flush();
    if (!PACED.includes(event)) {
      t.equal(rows(), flood + 1, `${event}: written one by one`);
      continue;
    }
    t.equal(rows(), JOURNAL_DIFFERENT_MAX + 2, `${event}: first ones, a count, and that of the other device`);
    t.equal(
      written.reduce((sum, { times }) => sum + times, 0),
      flood + 1,
      `${event}: none goes uncounted`,
    );
    t.match(written.at(-1), { deviceId: SOUND, detail: { n: 0 } }, `${event}: the other device's is written`);
  }
});

test("[OPS-35] each event is paced for each source of strangers, and for a million sources together", async (t) => {
  for (const event of PACED) {
    const { store, rows } = await journalOf(t);
    for (let n = 0; n < 1000; n++) store.journal.note(event, undefined, { n, address: "192.0.2.1" }, 1000 + n);
    await store.journal.flush();
    t.equal(rows(), JOURNAL_DIFFERENT_MAX + 1, `${event}: one source`);
    store.journal.note(event, undefined, { n: 0, address: "198.51.100.1" }, 2000);
    await store.journal.flush();
    t.equal(rows("detail LIKE '%198.51.100.1%'"), 1, `${event}: another source's is written`);
    for (let n = 0; n < 5000; n++) store.journal.note(event, undefined, { address: `2001:db8:${n.toString(16)}::1` }, 2000);
    await store.journal.flush();
    t.ok(rows() <= JOURNAL_STRANGERS_MAX + 1, `${event}: ${rows()} rows of all of them`);
  }
});

test("[OPS-35] a flood that goes on adds one row a minute, and its count is written at intervals", async (t) => {
  const { store, rows, written } = await journalOf(t);
  const hours = 3;
  for (let s = 0; s < hours * 3600; s++) store.journal.note("update.committed", EVIL, { n: s }, s * 1000);
  await store.journal.flush();
  const most = JOURNAL_DIFFERENT_MAX + hours * 60 + (hours * 3_600_000) / JOURNAL_FOLDED_MS + 1;
  t.ok(rows() <= most, `${rows()} rows, at most ${most}`);
  t.equal(
    written.reduce((sum, { times }) => sum + times, 0),
    hours * 3600,
    "none goes uncounted",
  );
});

test("[OPS-35] a full journal is shared: who has the most loses its oldest, and neither devices nor operators lose theirs", async (t) => {
  const { store, path, rows } = await journalOf(t);
  store.journal.note("connection.opened", SOUND, {}, 1);
  for (let at = 0; at < 3; at++) store.journal.note("device.approved", EVIL, { at }, at);
  store.journal.note("audit.forked", EVIL, {}, 3);
  await store.journal.flush();
  const database = new DatabaseSync(path);
  database.exec(`WITH RECURSIVE count (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < ${JOURNAL_ROWS_MAX})
    INSERT INTO journal (event, severity, deviceId, detail, firstAt, lastAt, times)
    SELECT 'update.committed', 'info', 'gw-evil', '{}', n, n, 1 FROM count`);
  database.close();
  for (let n = 0; n < 1100; n++) store.journal.note("operation.answered", SOUND, { n }, n);
  await store.journal.flush();
  t.ok(rows() <= JOURNAL_ROWS_MAX + 1024, `${rows()} rows`);
  t.equal(rows("deviceId = 'gw-sound'"), 1101);
  t.equal(rows("event = 'device.approved' OR event = 'audit.forked'"), 4);
});

test("[OPS-35] a device that reports in a loop leaves a few rows and lines at a real hub", async (t) => {
  const { hub } = await labHub(t);
  const written: JournalEntry[] = [];
  hub.events.on("journal", (entry) => void written.push(entry));
  const device = await labDevice(EVIL);
  const { client } = await connect(t, hub, device, await enrolled(hub, device));
  const count = 600;
  const committed = (n: number) => labMessage({ kind: "update", update: { phase: "committed", detail: `${n}` } });
  const pending = (counter: number) =>
    labMessage({
      kind: "lockdown.pending",
      counter,
      planHash: `sha256:${"0".repeat(64)}`,
      nonce: "0".repeat(64),
      confirmWithinMs: 1,
    });
  for (let n = 0; n < count; n += 100)
    await Promise.all(
      Array.from({ length: 100 }, async (_, at) => {
        await client.publishAsync(`sallyport/1/${EVIL}/up/update`, committed(n + at), { qos: 1 });
        await client.publishAsync(`sallyport/1/${EVIL}/up/event`, pending(n + at), { qos: 1 });
      }),
    );
  const told = await eventually("every report is counted", async () => {
    const entries = (await hub.store.journal.tail(10_000, "info")).filter(({ deviceId }) => deviceId === EVIL);
    const of = (event: string) => entries.filter((entry) => entry.event === event);
    const total = (event: string) => of(event).reduce((sum, { times }) => sum + times, 0);
    return total("update.committed") === count && total("lockdown.pending") === count
      ? { committed: of("update.committed").length, pending: of("lockdown.pending").length }
      : undefined;
  });
  // The pace gives a row each minute, and a busy machine may take more than one.
  t.ok(told.committed < JOURNAL_DIFFERENT_MAX + 20, `${told.committed} rows for ${count} reports of a committed update`);
  t.ok(told.pending < JOURNAL_DIFFERENT_MAX + 20, `${told.pending} rows for ${count} reports of a trial`);
});
