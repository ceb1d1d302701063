// The pace of the journal. What a device or a stranger causes at will is written at first, and then
// only counted, for each device, each source and each event by itself. [OPS-35]
import { canonicalJson } from "../../hal/format/json.ts";
import { printable } from "../../hal/format/text.ts";
import {
  JOURNAL_DIFFERENT_MAX,
  JOURNAL_FOLDED_MS,
  JOURNAL_REPEAT_MS,
  JOURNAL_STRANGERS_MAX,
  JOURNAL_STRANGERS_PERIOD_MS,
} from "../limits.ts";
import { sourceOf } from "../source.ts";
import { JOURNAL_EVENTS, type JournalEvent } from "./catalogue.ts";

export type JournalDetail = Readonly<Record<string, string | number | boolean | undefined>>;

/** Counts one entry in memory. */
export interface Counter {
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

const TEXT_CHARACTERS_MAX = 512;
const SWEEP_MS = 10_000;
/** The detail of the entry that counts the ones beyond the pace. */
const MORE = `more than ${JOURNAL_DIFFERENT_MAX} different ones, and one a minute; these are only counted`;

export function counterOf(event: JournalEvent, deviceId: string | undefined, given: JournalDetail, atMs: number): Counter {
  const detail = printableDetail(given);
  const text = canonicalJson(detail);
  return { event, deviceId, detail, text, firstAtMs: atMs, lastAtMs: atMs, unwritten: 0, n: undefined };
}

export class JournalPace {
  /** By event, and by the device or the source of strangers. */
  readonly #kinds = new Map<string, Kind>();
  /**
   * What all strangers together cause of one event, so that a million sources are no way around.
   */
  readonly #strangers = new Map<JournalEvent, Kind>();
  #sweptAtMs = 0;

  /**
   * A warning or an alert that is repeated within a minute raises a count. Other entries tell of
   * what went on, so within the pace each is a row of its own.
   * @returns `made`, or the counter of the entry that counts it.
   */
  counterFor(made: Counter): Counter {
    const { event, deviceId, detail, firstAtMs: atMs } = made;
    const source = sourceOf(String(detail["address"] ?? detail["from"] ?? ""));
    const key = `${event} ${deviceId ?? `from ${source}`}`;
    const kind = this.#kinds.get(key) ?? new Kind(JOURNAL_DIFFERENT_MAX, JOURNAL_REPEAT_MS, atMs);
    const severity = JOURNAL_EVENTS[event];
    const known = kind.known(made.text, atMs, severity === "warning" || severity === "alert");
    if (known !== undefined) return known;
    if (deviceId === undefined) {
      const all = this.#strangers.get(event) ?? new Kind(JOURNAL_STRANGERS_MAX, JOURNAL_STRANGERS_PERIOD_MS, atMs);
      this.#strangers.set(event, all);
      if (!all.take(atMs)) return all.fold(() => counterOf(event, undefined, { more: MORE, from: "many sources" }, atMs));
    }
    this.#kinds.set(key, kind);
    if (kind.take(atMs)) return kind.add(made);
    const from = deviceId === undefined ? source : undefined;
    return kind.fold(() => counterOf(event, deviceId, { more: MORE, from }, atMs));
  }

  /** Forgets what is over, every few seconds at most. */
  sweep(nowMs: number): void {
    if (Math.abs(nowMs - this.#sweptAtMs) < SWEEP_MS) return;
    this.#sweptAtMs = nowMs;
    for (const [key, kind] of this.#kinds) if (kind.isOver(nowMs)) this.#kinds.delete(key);
  }
}

/** One event of one device or source. */
class Kind {
  readonly #recent = new Map<string, Counter>();
  readonly #burst: number;
  readonly #periodMs: number;
  #folded: Counter | undefined;
  #debt = 0;
  #paidAtMs: number;

  /** @param burst entries at first; one more comes every `periodMs`. */
  constructor(burst: number, periodMs: number, atMs: number) {
    this.#burst = burst;
    this.#periodMs = periodMs;
    this.#paidAtMs = atMs;
  }

  /** @returns the counter that takes the entry without a new row. */
  known(text: string, atMs: number, countsRepeated: boolean): Counter | undefined {
    this.#dropOlder(atMs);
    this.#pay(atMs);
    const isBeyond = this.#debt + 1 > this.#burst;
    const same = countsRepeated || isBeyond ? this.#recent.get(text) : undefined;
    return same ?? (isBeyond ? this.#folded : undefined);
  }

  /** @returns false when no other row is within the pace. */
  take(atMs: number): boolean {
    this.#pay(atMs);
    if (this.#debt + 1 > this.#burst) return false;
    this.#debt += 1;
    return true;
  }

  add(made: Counter): Counter {
    this.#recent.set(made.text, made);
    return made;
  }

  fold(more: () => Counter): Counter {
    this.#folded ??= more();
    return this.#folded;
  }

  isOver(nowMs: number): boolean {
    this.#dropOlder(nowMs);
    this.#pay(nowMs);
    return this.#recent.size === 0 && this.#debt === 0;
  }

  /**
   * What happened a minute ago is an entry of its own. A clock that was set back changes nothing.
   */
  #dropOlder(atMs: number): void {
    for (const [text, { firstAtMs }] of this.#recent)
      if (Math.abs(atMs - firstAtMs) >= JOURNAL_REPEAT_MS) this.#recent.delete(text);
    if (this.#folded !== undefined && Math.abs(atMs - this.#folded.firstAtMs) >= JOURNAL_FOLDED_MS) this.#folded = undefined;
  }

  #pay(atMs: number): void {
    this.#debt = Math.max(0, this.#debt - Math.max(0, atMs - this.#paidAtMs) / this.#periodMs);
    this.#paidAtMs = atMs;
  }
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
