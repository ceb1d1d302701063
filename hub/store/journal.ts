// The hub's own journal: decisions, refusals and alerts. A repeated warning raises a count, and so
// do too many different ones. No stranger and no captured device can fill the disk, or displace
// other entries, by causing many of them.
import type { DatabaseSync } from "node:sqlite";
import * as v from "valibot";
import { canonicalJson, parseJson } from "../../hal/format/json.ts";
import { printable } from "../../hal/format/text.ts";
import { check } from "../../hal/format/schema.ts";
import { Fault } from "../../hal/fault.ts";
import { JOURNAL_DIFFERENT_MAX, JOURNAL_REPEAT_MS, JOURNAL_ROWS_MAX } from "../limits.ts";
import { isJournalEvent, JOURNAL_EVENTS, type JournalEvent, SEVERITIES, type Severity } from "./catalogue.ts";
import { integer, oneOf, optional, type Row, text } from "./row.ts";

export type JournalDetail = Readonly<Record<string, string | number | boolean | undefined>>;

export interface JournalEntry {
  readonly n: number;
  readonly event: JournalEvent;
  readonly severity: Severity;
  /** Proven by a certificate, or given by an operator. A stranger's claim is in the detail. */
  readonly deviceId: string | undefined;
  readonly detail: JournalDetail;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
  readonly times: number;
}

export interface Journal {
  add(event: JournalEvent, deviceId: string | undefined, detail: JournalDetail, atMs: number): JournalEntry;
  /** The newest entries, oldest first, of severity `least` or above. */
  tail(countMax: number, least: Severity): readonly JournalEntry[];
}

const DETAIL_BYTES_MAX = 16_384;
const TEXT_CHARACTERS_MAX = 512;
/** Rows dropped at once when the journal is full. */
const TRIM_ROWS = 1024;
/** The detail of the one entry that counts all entries after too many different ones. */
const MORE: JournalDetail = { more: `more than ${JOURNAL_DIFFERENT_MAX} different ones within a minute` };
const detailSchema = v.record(v.string(), v.union([v.string(), v.number(), v.boolean()]));

export function createJournal(database: DatabaseSync): Journal {
  const add = database.prepare(
    `INSERT INTO journal (event, severity, deviceId, detail, firstAt, lastAt, times)
     VALUES (:event, :severity, :deviceId, :detail, :at, :at, 1)`,
  );
  // One minute has no more rows of one kind than these. There may be very many older rows, so they
  // are not searched.
  const recent = `(SELECT n, detail, firstAt FROM journal WHERE event = :event AND deviceId IS :deviceId
     ORDER BY n DESC LIMIT ${JOURNAL_DIFFERENT_MAX + 1})`;
  const repeat = database.prepare(
    `UPDATE journal SET lastAt = :at, times = times + 1 WHERE n = (
       SELECT n FROM ${recent} WHERE detail = :detail AND firstAt > :since ORDER BY n DESC LIMIT 1) RETURNING *`,
  );
  const different = database.prepare(`SELECT count(*) AS n FROM ${recent} WHERE firstAt > :since`);
  const find = database.prepare("SELECT * FROM journal WHERE n = ?");
  const count = database.prepare("SELECT count(*) AS n FROM journal");
  const trim = database.prepare(
    `DELETE FROM journal WHERE n IN (SELECT n FROM journal WHERE severity =
       (SELECT severity FROM journal GROUP BY severity ORDER BY count(*) DESC LIMIT 1) ORDER BY n LIMIT ${TRIM_ROWS})`,
  );
  const tail = database.prepare(
    `SELECT * FROM (SELECT * FROM journal WHERE severity IN (SELECT value FROM json_each(?)) ORDER BY n DESC LIMIT ?) ORDER BY n`,
  );
  const insert = (event: JournalEvent, deviceId: string | null, detail: string, at: number): JournalEntry => {
    const { lastInsertRowid } = add.run({ event, deviceId, detail, severity: JOURNAL_EVENTS[event], at });
    if (Number(lastInsertRowid) % TRIM_ROWS === 0 && integer(count.get() ?? {}, "n") > JOURNAL_ROWS_MAX) trim.run();
    const added = find.get(lastInsertRowid);
    if (added === undefined)
      throw new Fault("hub.store-failed", `write "${event}" to the hub's journal: the entry is not there after writing`);
    return entry(added);
  };
  /** For entries that strangers can cause: repeated ones and too many different ones only count. */
  const insertOrCount = (event: JournalEvent, deviceId: string | null, detail: string, at: number): JournalEntry => {
    const kind = { event, deviceId, since: at - JOURNAL_REPEAT_MS };
    const repeated = repeat.get({ ...kind, detail, at });
    if (repeated !== undefined) return entry(repeated);
    if (integer(different.get(kind) ?? {}, "n") < JOURNAL_DIFFERENT_MAX) return insert(event, deviceId, detail, at);
    const more = canonicalJson(MORE);
    const folded = repeat.get({ ...kind, detail: more, at });
    return folded === undefined ? insert(event, deviceId, more, at) : entry(folded);
  };
  return {
    add: (event, deviceId, detail, at) => {
      const severity = JOURNAL_EVENTS[event];
      // Entries about the hub and its operators are written one by one, in order.
      const write = severity === "warning" || severity === "alert" ? insertOrCount : insert;
      return write(event, deviceId ?? null, canonicalJson(printableDetail(detail)), at);
    },
    tail: (countMax, least) => {
      const severities = JSON.stringify(SEVERITIES.slice(SEVERITIES.indexOf(least)));
      return tail.all(severities, countMax).map((row) => entry(row));
    },
  };
}

/** Bounded and without control characters: details contain text from strangers. */
function printableDetail(detail: JournalDetail): JournalDetail {
  return Object.fromEntries(
    Object.entries(detail).map(([name, value]) => [
      name,
      typeof value === "string" ? printable(value, TEXT_CHARACTERS_MAX) : value,
    ]),
  );
}

function entry(row: Row): JournalEntry {
  const event = text(row, "event");
  if (!isJournalEvent(event))
    throw new Fault("hub.store-failed", `the hub's journal contains "${event}", an event that this program does not know`);
  return {
    n: integer(row, "n"),
    event,
    severity: oneOf(SEVERITIES, row, "severity"),
    deviceId: optional(text, row, "deviceId"),
    detail: check(
      detailSchema,
      parseJson(text(row, "detail"), DETAIL_BYTES_MAX, "journal detail"),
      "journal detail",
      "hub.store-failed",
    ),
    firstAtMs: integer(row, "firstAt"),
    lastAtMs: integer(row, "lastAt"),
    times: integer(row, "times"),
  };
}
