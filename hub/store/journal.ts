// The hub's own journal: decisions, refusals and alerts. Entries are counted in memory and written
// at intervals. What a device or a stranger causes at will is paced, for each of them by itself,
// and each has a share of the journal: nobody can fill the disk, or displace the entries of others,
// by causing many of them. [OPS-35]
import { setTimeout as delay } from "node:timers/promises";
import * as v from "valibot";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { asFault, Fault } from "../../hal/fault.ts";
import { JOURNAL_COUNT_MS, JOURNAL_INTERVAL_MS, JOURNAL_ROWS_MAX, JOURNAL_UNWRITTEN_MAX } from "../limits.ts";
import {
  isJournalEvent,
  isPaced,
  JOURNAL_EVENTS,
  type JournalEvent,
  SEVERITIES,
  type Severity,
  type UnpacedEvent,
  UNPACED_EVENTS,
} from "./catalogue.ts";
import type { Change, Engine, Statement } from "./engine.ts";
import { type Counter, counterOf, type JournalDetail, JournalPace } from "./journal-pace.ts";
import { integer, oneOf, optional, type Row, text } from "./row.ts";

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
   * Counts an entry in memory. A new one is written within {@link JOURNAL_INTERVAL_MS}, a higher
   * count within {@link JOURNAL_COUNT_MS}; it is lost if the hub is killed before.
   */
  note(event: JournalEvent, deviceId: string | undefined, detail: JournalDetail, atMs: number): void;
  /**
   * Counts entries that are written in the same commit as what they tell of, unless they repeat
   * another. When the commit fails, they were never counted.
   */
  noted(notes: readonly JournalNote[]): Change;
  /** An entry that is written in the same commit as the operator's decision that it tells of. */
  entry(event: UnpacedEvent, deviceId: string | undefined, detail: JournalDetail, atMs: number): Change;
  /** Writes what was counted. @throws Fault `hub.store-failed`. */
  flush(): Promise<void>;
  /** The newest entries, oldest first, of severity `least` or above, those in memory included. */
  tail(countMax: number, least: Severity): Promise<readonly JournalEntry[]>;
  /** The time of the entry that was written last, whatever its time; undefined without any. */
  lastWrittenMs(): Promise<number | undefined>;
}

export interface JournalOptions {
  /**
   * Gets each entry after it was written, and again each time its count was.
   * @param before its count before that; 0 for a new one.
   */
  readonly onEntry: (entry: JournalEntry, before: number) => void;
  /** Counted entries could not be written. They are tried again. */
  readonly onFault: (fault: Fault) => void;
}

const DETAIL_BYTES_MAX = 16_384;
/** How soon a flush looks again for entries that another commit is writing. */
const WRITING_POLL_MS = 5;
/** Rows dropped at once when the journal is full, and rows written by one commit. */
const TRIM_ROWS = 1024;
/** What operators and the hub itself cause loses nothing to the rest up to so many rows. */
const OPERATORS_ROWS = JOURNAL_ROWS_MAX / 2;
const detailSchema = v.record(v.string(), v.union([v.string(), v.number(), v.boolean()]));

const ADD = `INSERT INTO journal (event, severity, deviceId, detail, firstAt, lastAt, times)
  VALUES (:event, :severity, :deviceId, :detail, :firstAt, :lastAt, :times) RETURNING n, times, firstAt`;
const RAISE = "UPDATE journal SET lastAt = ?, times = times + ? WHERE n = ? RETURNING n, times, firstAt";
/**
 * Drops the rows that are farthest from the newest of their owner and severity. The one with the
 * most rows of one severity loses its oldest, and all the others lose nothing. Strangers are one
 * owner.
 */
const TRIM = `DELETE FROM journal WHERE (SELECT count(*) FROM journal) > ${JOURNAL_ROWS_MAX} AND n IN (
  SELECT n FROM (
    SELECT n, spared, row_number() OVER (PARTITION BY owner, severity ORDER BY n DESC) AS place FROM (
      SELECT n, severity, iif(unpaced, '', coalesce(deviceId, '-')) AS owner, iif(unpaced, ${OPERATORS_ROWS}, 0) AS spared FROM (
        SELECT n, severity, deviceId, event IN (${UNPACED_EVENTS.map((event) => `'${event}'`).join(", ")}) AS unpaced FROM journal)))
  ORDER BY place - spared DESC, n LIMIT ${TRIM_ROWS})`;
/** Entries in memory are written later than others, so the newest rows are sorted by time. */
const TAIL = `SELECT * FROM (SELECT * FROM (
    SELECT * FROM journal WHERE severity IN (SELECT value FROM json_each(:severities)) ORDER BY n DESC LIMIT :count + ${TRIM_ROWS})
  ORDER BY firstAt DESC, n DESC LIMIT :count) ORDER BY firstAt, n`;

export function createJournal(engine: Engine, options: JournalOptions): Journal {
  return new CountingJournal(engine, options);
}

class CountingJournal implements Journal {
  readonly #engine: Engine;
  readonly #options: JournalOptions;
  readonly #pace = new JournalPace();
  readonly #unwritten = new Set<Counter>();
  readonly #writing = new Set<Counter>();
  #entriesTimer: NodeJS.Timeout | undefined;
  #countsTimer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> = Promise.resolve();
  /** Since the journal was last held to its size. The first write does that. */
  #addedRows = TRIM_ROWS;
  #latestMs = 0;

  constructor(engine: Engine, options: JournalOptions) {
    this.#engine = engine;
    this.#options = options;
  }

  note(event: JournalEvent, deviceId: string | undefined, detail: JournalDetail, atMs: number): void {
    const { n } = this.#count({ event, deviceId, detail, atMs });
    this.#schedule(n === undefined);
  }

  noted(notes: readonly JournalNote[]): Change {
    const counted = notes.map((note) => this.#count(note));
    // A higher count waits for its interval, so that no commit writes one row twice.
    const { failed, ...taken } = this.#take(new Set(counted.filter(({ n }) => n === undefined)));
    this.#schedule(counted.some((counter) => counter.n === undefined && this.#unwritten.has(counter)));
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
        if (row !== undefined) this.#options.onEntry(entryOf(counter, row), 0);
      },
    };
  }

  flush(): Promise<void> {
    clearTimeout(this.#countsTimer);
    this.#countsTimer = undefined;
    return this.#flush(() => true);
  }

  #flush(isDue: (counter: Counter) => boolean): Promise<void> {
    clearTimeout(this.#entriesTimer);
    this.#entriesTimer = undefined;
    const flushing = this.#flushing.then(() => this.#write(isDue));
    this.#flushing = flushing.catch(() => undefined);
    return flushing;
  }

  async tail(countMax: number, least: Severity): Promise<readonly JournalEntry[]> {
    await this.flush();
    const severities = JSON.stringify(SEVERITIES.slice(SEVERITIES.indexOf(least)));
    return (await this.#engine.read(TAIL, { severities, count: countMax })).map((row) => entryIn(row));
  }

  async lastWrittenMs(): Promise<number | undefined> {
    const [row] = await this.#engine.read("SELECT lastAt FROM journal ORDER BY n DESC LIMIT 1", []);
    return row === undefined ? undefined : integer(row, "lastAt");
  }

  #count({ event, deviceId, detail, atMs }: JournalNote): Counter {
    const counter = this.#counterFor(event, deviceId, detail, atMs);
    counter.lastAtMs = atMs;
    counter.unwritten += 1;
    this.#latestMs = atMs;
    this.#unwritten.add(counter);
    return counter;
  }

  /** @param soon whether an entry waits that has no row yet. */
  #schedule(soon: boolean): void {
    if (this.#unwritten.size === 0) return;
    const guarded = (flushing: Promise<void>): void =>
      void flushing.catch((error: unknown) => {
        this.#options.onFault(asFault(error, "hub.store-failed", "write the hub's journal"));
        this.#schedule(true);
      });
    this.#countsTimer ??= setTimeout(() => guarded(this.flush()), JOURNAL_COUNT_MS);
    if (!soon) return;
    this.#entriesTimer ??= setTimeout(() => guarded(this.#flush(({ n }) => n === undefined)), JOURNAL_INTERVAL_MS);
  }

  #counterFor(event: JournalEvent, deviceId: string | undefined, detail: JournalDetail, atMs: number): Counter {
    const made = counterOf(event, deviceId, detail, atMs);
    // Entries about the hub and its operators are written one by one, in order.
    return isPaced(event) || this.#unwritten.size >= JOURNAL_UNWRITTEN_MAX ? this.#pace.counterFor(made) : made;
  }

  async #write(isDue: (counter: Counter) => boolean): Promise<void> {
    for (;;) {
      const due = [...this.#unwritten].filter((counter) => isDue(counter));
      if (due.length === 0) return;
      const ready = due.filter((counter) => !this.#writing.has(counter));
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
      this.#pace.sweep(this.#latestMs);
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
          this.#written(counter, results[index]?.rows[0], counts[index] ?? 0);
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

  /**
   * @param row undefined when it was dropped from the full journal meanwhile.
   * @param added what its count was raised by.
   */
  #written(counter: Counter, row: Row | undefined, added: number): void {
    if (row === undefined) {
      counter.n = undefined;
      return;
    }
    const written = entryOf(counter, row);
    counter.n = written.n;
    this.#options.onEntry(written, written.times - added);
  }
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
