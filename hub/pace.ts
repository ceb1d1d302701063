// The pace of each device or address: work beyond it waits or is refused, and costs nobody else.

export interface PaceOptions {
  /** Work that may come at once. */
  readonly burst: number;
  /** Work that is paid back per second. */
  readonly perSecond: number;
  /** Monotonic milliseconds. Default: the process's. */
  readonly nowMs?: () => number;
}

/** Sources remembered. A source whose debt is paid back is forgotten first. */
const SOURCES_MAX = 65_536;

interface Debt {
  units: number;
  atMs: number;
}

export class Pace {
  readonly #options: PaceOptions;
  readonly #debts = new Map<string, Debt>();

  constructor(options: PaceOptions) {
    this.#options = options;
  }

  /**
   * Charges work that is done in any case.
   * @returns milliseconds to wait before more is taken from `source`; 0 within the burst.
   */
  charge(source: string, units: number): number {
    const debt = this.#debtOf(source);
    debt.units += units;
    const over = debt.units - this.#options.burst;
    return over <= 0 ? 0 : Math.ceil((over / this.#options.perSecond) * 1000);
  }

  /** Charges one unit, unless the burst is used up. @returns whether the work may be done. */
  take(source: string): boolean {
    const debt = this.#debtOf(source);
    if (debt.units + 1 > this.#options.burst) return false;
    debt.units += 1;
    return true;
  }

  /** Takes one unit off: what {@link take} charged was of use. */
  giveBack(source: string): void {
    const debt = this.#debtOf(source);
    debt.units = Math.max(0, debt.units - 1);
  }

  #debtOf(source: string): Debt {
    const nowMs = (this.#options.nowMs ?? performance.now.bind(performance))();
    const known = this.#debts.get(source) ?? { units: 0, atMs: nowMs };
    known.units = Math.max(0, known.units - ((nowMs - known.atMs) / 1000) * this.#options.perSecond);
    known.atMs = nowMs;
    // The order of the map is that of the last use, so the first one is paid back soonest.
    this.#debts.delete(source);
    this.#debts.set(source, known);
    const [oldest] = this.#debts.keys();
    if (this.#debts.size > SOURCES_MAX && oldest !== undefined) this.#debts.delete(oldest);
    return known;
  }
}
