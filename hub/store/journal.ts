// The hub's own journal: decisions, refusals and alerts. Entries are counted in memory and written
// at intervals, so that no stranger and no captured device makes the hub write by being refused. A
// repeated warning raises a count, and so do too many different ones: nobody can fill the disk, or
// displace other entries, by causing many of them.
import { setTimeout as delay } from "node:timers/promises";
import * as v from "valibot";
import { canonicalJson, parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { asFault, Fault } from "../../hal/fault.ts";
import { printable } from "../../hal/format/text.ts";
import {
  JOURNAL_DIFFERENT_MAX,
  JOURNAL_INTERVAL_MS,
  JOURNAL_REPEAT_MS,
  JOURNAL_ROWS_MAX,
  JOURNAL_UNWRITTEN_MAX,
} from "../limits.ts";
import { isJournalEvent, JOURNAL_EVENTS, type JournalEvent, SEVERITIES, type Severity } from "./catalogue.ts";
import type { Change, Engine, Statement } from "./engine.ts";
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

export interface JournalNote {
  readonly event: JournalEvent;
  readonly deviceId: string | undefined;
  readonly detail: JournalDetail;
  readonly atMs: number;
}

export interface Journal {
  /**
   * Counts an entry in memory. It is written within {@link JOURNAL_INTERVAL_MS}, and lost if the
   * hub is killed before.
   */
  note(event: JournalEvent, deviceId: string | undefined, detail: JournalDetail, atMs: number): void;
  /**
   * Counts entries that are written in the same commit as what they tell of, unless the entry that
   * they repeat is just being written. When the commit fails, they were never counted.
   */
  noted(notes: readonly JournalNote[]): Change;
  /** An entry that is written in the same commit as the decision that it tells of. */
  entry(event: JournalEvent, deviceId: string | undefined, detail: JournalDetail, atMs: number): Change;
  /** Writes what was counted. @throws Fault `hub.store-failed`. */
  flush(): Promise<void>;
  /** The newest entries, oldest first, of severity `least` or above, those in memory included. */
  tail(countMax: number, least: Severity): Promise<readonly JournalEntry[]>;
}

export interface JournalOptions {
  /** Gets each entry after it was written, and again each time its count was. */
  readonly onEntry: (entry: JournalEntry) => void;
  /** Counted entries could not be written. They are tried again. */
  readonly onFault: (fault: Fault) => void;
}

const DETAIL_BYTES_MAX = 16_384;
const TEXT_CHARACTERS_MAX = 512;
/** How soon a flush looks again for entries that another commit is writing. */
const WRITING_POLL_MS = 5;
/** Rows dropped at once when the journal is full, and rows written by one commit. */
const TRIM_ROWS = 1024;
/** The detail of the one entry that counts all entries after too many different ones. */
const MORE: JournalDetail = { more: `more than ${JOURNAL_DIFFERENT_MAX} different ones within a minute` };
const detailSchema = v.record(v.string(), v.union([v.string(), v.number(), v.boolean()]));

const ADD = `INSERT INTO journal (event, severity, deviceId, detail, firstAt, lastAt, times)
  VALUES (:event, :severity, :deviceId, :detail, :firstAt, :lastAt, :times) RETURNING n, times, firstAt`;
const RAISE = "UPDATE journal SET lastAt = ?, times = times + ? WHERE n = ? RETURNING n, times, firstAt";
const TRIM = `DELETE FROM journal WHERE (SELECT count(*) FROM journal) > ${JOURNAL_ROWS_MAX} AND n IN (
  SELECT n FROM journal WHERE severity =
    (SELECT severity FROM journal GROUP BY severity ORDER BY count(*) DESC LIMIT 1) ORDER BY n LIMIT ${TRIM_ROWS})`;
/** Entries in memory are written later than others, so the newest rows are sorted by time. */
const TAIL = `SELECT * FROM (SELECT * FROM (
    SELECT * FROM journal WHERE severity IN (SELECT value FROM json_each(:severities)) ORDER BY n DESC LIMIT :count + ${TRIM_ROWS})
  ORDER BY firstAt DESC, n DESC LIMIT :count) ORDER BY firstAt, n`;

export function createJournal(engine: Engine, options: JournalOptions): Journal {
  return new CountingJournal(engine, options);
}

interface Counter {
  readonly event: JournalEvent;
  readonly deviceId: string | undefined;
  readonly detail: JournalDetail;
  /** The detail as canonical JSON. */
  readonly text: string;
  readonly firstAtMs: number;
  lastAtMs: number;
  /** How many of them the store does not have yet. */
  unwritten: number;
  /** Number of its row; undefined until it is written. */
  n: number | undefined;
}

class CountingJournal implements Journal {
  readonly #engine: Engine;
  readonly #options: JournalOptions;
  /** The warnings and alerts of the last minute: by event and device, then by detail. */
  readonly #recent = new Map<string, Map<string, Counter>>();
  readonly #unwritten = new Set<Counter>();
  readonly #writing = new Set<Counter>();
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> = Promise.resolve();
  #addedRows = 0;
  #latestMs = 0;

  constructor(engine: Engine, options: JournalOptions) {
    this.#engine = engine;
    this.#options = options;
  }

  note(event: JournalEvent, deviceId: string | undefined, detail: JournalDetail, atMs: number): void {
    this.#count({ event, deviceId, detail, atMs });
    this.#schedule();
  }

  noted(notes: readonly JournalNote[]): Change {
    const counted = notes.map((note) => this.#count(note));
    const { failed, ...taken } = this.#take(new Set(counted));
    this.#schedule();
    return {
      ...taken,
      failed: () => {
        failed?.();
        for (const counter of counted) {
          counter.unwritten -= 1;
          if (counter.unwritten === 0) this.#unwritten.delete(counter);
        }
      },
    };
  }

  entry(event: JournalEvent, deviceId: string | undefined, detail: JournalDetail, atMs: number): Change {
    const counter = { ...counterOf(event, deviceId, detail, atMs), unwritten: 1 };
    return {
      statements: [statementOf(counter)],
      committed: ([result]) => {
        const [row] = result?.rows ?? [];
        if (row !== undefined) this.#options.onEntry(entryOf(counter, row));
      },
    };
  }

  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const flushing = this.#flushing.then(() => this.#write());
    this.#flushing = flushing.catch(() => undefined);
    return flushing;
  }

  async tail(countMax: number, least: Severity): Promise<readonly JournalEntry[]> {
    await this.flush();
    const severities = JSON.stringify(SEVERITIES.slice(SEVERITIES.indexOf(least)));
    return (await this.#engine.read(TAIL, { severities, count: countMax })).map((row) => entryIn(row));
  }

  #count({ event, deviceId, detail, atMs }: JournalNote): Counter {
    const counter = this.#counterFor(event, deviceId, detail, atMs);
    counter.lastAtMs = atMs;
    counter.unwritten += 1;
    this.#latestMs = atMs;
    this.#unwritten.add(counter);
    return counter;
  }

  #schedule(): void {
    if (this.#unwritten.size === 0) return;
    this.#timer ??= setTimeout(() => {
      this.flush().catch((error: unknown) => {
        this.#options.onFault(asFault(error, "hub.store-failed", "write the hub's journal"));
        this.#schedule();
      });
    }, JOURNAL_INTERVAL_MS);
  }

  /** For warnings and alerts the counter of the same entry within a minute, or of too many. */
  #counterFor(event: JournalEvent, deviceId: string | undefined, detail: JournalDetail, atMs: number): Counter {
    const severity = JOURNAL_EVENTS[event];
    // Entries about the hub and its operators are written one by one, in order.
    const counts = severity === "warning" || severity === "alert" || this.#unwritten.size >= JOURNAL_UNWRITTEN_MAX;
    const made = counterOf(event, deviceId, detail, atMs);
    if (!counts) return made;
    const kind = `${event} ${deviceId ?? ""}`;
    const recent = this.#recent.get(kind) ?? new Map<string, Counter>();
    this.#recent.set(kind, recent);
    dropOlder(recent, atMs);
    const same = recent.get(made.text);
    if (same !== undefined) return same;
    if (recent.size < JOURNAL_DIFFERENT_MAX) {
      recent.set(made.text, made);
      return made;
    }
    const more = counterOf(event, deviceId, MORE, atMs);
    const folded = recent.get(more.text) ?? more;
    recent.set(folded.text, folded);
    return folded;
  }

  async #write(): Promise<void> {
    while (this.#unwritten.size > 0) {
      const ready = [...this.#unwritten].filter((counter) => !this.#writing.has(counter));
      if (ready.length === 0) {
        await delay(WRITING_POLL_MS);
        continue;
      }
      const { statements, committed, failed } = this.#take(new Set(ready.slice(0, TRIM_ROWS)));
      try {
        committed?.(await this.#engine.commit(statements));
      } catch (error) {
        failed?.();
        throw error;
      }
      this.#dropOld();
    }
  }

  /**
   * Takes what was counted, to write it now. A counter that is being written is left out: the next
   * write needs the number of its row.
   */
  #take(chosen: ReadonlySet<Counter>): Change {
    const counters = [...chosen].filter((counter) => !this.#writing.has(counter) && counter.unwritten > 0);
    const statements = counters.map((counter) => statementOf(counter));
    const counts = counters.map((counter) => takeCount(counter));
    this.#addedRows += counters.filter(({ n }) => n === undefined).length;
    if (this.#addedRows >= TRIM_ROWS) {
      this.#addedRows = 0;
      statements.push({ sql: TRIM, parameters: [] });
    }
    for (const counter of counters) {
      this.#unwritten.delete(counter);
      this.#writing.add(counter);
    }
    return {
      statements,
      committed: (results) => {
        for (const [index, counter] of counters.entries()) {
          this.#writing.delete(counter);
          this.#written(counter, results[index]?.rows[0]);
        }
      },
      failed: () => {
        for (const [index, counter] of counters.entries()) {
          this.#writing.delete(counter);
          counter.unwritten += counts[index] ?? 0;
          this.#unwritten.add(counter);
        }
      },
    };
  }

  /** @param row undefined when it was dropped from the full journal meanwhile. */
  #written(counter: Counter, row: Row | undefined): void {
    if (row === undefined) {
      counter.n = undefined;
      return;
    }
    const written = entryOf(counter, row);
    counter.n = written.n;
    this.#options.onEntry(written);
  }

  #dropOld(): void {
    for (const [kind, recent] of this.#recent) {
      dropOlder(recent, this.#latestMs);
      if (recent.size === 0) this.#recent.delete(kind);
    }
  }
}

/** What happened a minute ago is an entry of its own. A clock that was set back changes nothing. */
function dropOlder(recent: Map<string, Counter>, atMs: number): void {
  for (const [text, { firstAtMs }] of recent) if (Math.abs(atMs - firstAtMs) >= JOURNAL_REPEAT_MS) recent.delete(text);
}

function counterOf(event: JournalEvent, deviceId: string | undefined, given: JournalDetail, atMs: number): Counter {
  const detail = printableDetail(given);
  const text = canonicalJson(detail);
  return { event, deviceId, detail, text, firstAtMs: atMs, lastAtMs: atMs, unwritten: 0, n: undefined };
}

function statementOf({
  event,
  deviceId,
  text: detail,
  firstAtMs: firstAt,
  lastAtMs: lastAt,
  unwritten: times,
  n,
}: Counter): Statement {
  if (n !== undefined) return { sql: RAISE, parameters: [lastAt, times, n] };
  const severity = JOURNAL_EVENTS[event];
  return { sql: ADD, parameters: { event, severity, deviceId: deviceId ?? null, detail, firstAt, lastAt, times } };
}

/** @param row of its statement. */
function entryOf({ event, deviceId, detail, lastAtMs }: Counter, row: Row): JournalEntry {
  return {
    n: integer(row, "n"),
    event,
    severity: JOURNAL_EVENTS[event],
    deviceId,
    detail,
    firstAtMs: integer(row, "firstAt"),
    lastAtMs,
    times: integer(row, "times"),
  };
}

function detailIn(text: string): JournalDetail {
  return check(detailSchema, parseJson(text, DETAIL_BYTES_MAX, "journal detail"), "journal detail", "hub.store-failed");
}

/** What is counted from now on is not in the statement that was made before. */
function takeCount(counter: Counter): number {
  const { unwritten } = counter;
  counter.unwritten = 0;
  return unwritten;
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

function entryIn(row: Row): JournalEntry {
  const event = text(row, "event");
  if (!isJournalEvent(event))
    throw new Fault("hub.store-failed", `the hub's journal contains "${event}", an event that this program does not know`);
  return {
    n: integer(row, "n"),
    event,
    severity: oneOf(SEVERITIES, row, "severity"),
    deviceId: optional(text, row, "deviceId"),
    detail: detailIn(text(row, "detail")),
    firstAtMs: integer(row, "firstAt"),
    lastAtMs: integer(row, "lastAt"),
    times: integer(row, "times"),
  };
}
