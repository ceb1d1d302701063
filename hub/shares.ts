// Shares of something bounded, such as connections: nobody is refused because others took
// everything. Instead, the source with the most loses its oldest, so a flood displaces itself.

export interface SharesOptions {
  readonly countMax: number;
  /** Of one source: an address, or a device. */
  readonly ofSourceMax: number;
}

export interface Share {
  /** Gives the place back. May be called more than once. */
  leave(): void;
}

interface Holder {
  readonly source: string;
  readonly evict: () => void;
}

export class Shares {
  readonly #options: SharesOptions;
  /** In the order of entering, which is the order of eviction. */
  readonly #bySource = new Map<string, Set<Holder>>();
  #count = 0;

  constructor(options: SharesOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#count;
  }

  /** True while one more of `source` would displace another of the same source. */
  isFullFor(source: string): boolean {
    return (this.#bySource.get(source)?.size ?? 0) >= this.#options.ofSourceMax;
  }

  /**
   * Takes a place. When there is none, the oldest holder of the same source goes, or that of the
   * source that has the most.
   * @param evict ends what holds the place; it need not call `leave`.
   */
  enter(source: string, evict: () => void): Share {
    if (this.isFullFor(source)) this.#evictOldest(source);
    else if (this.#count >= this.#options.countMax) this.#evictOldest(this.#largest(source));
    const holder: Holder = { source, evict };
    const holders = this.#bySource.get(source) ?? new Set<Holder>();
    this.#bySource.set(source, holders.add(holder));
    this.#count += 1;
    return { leave: () => this.#leave(holder) };
  }

  /** The source with the most places; `newcomer` counts one more, and loses a tie. */
  #largest(newcomer: string): string {
    let [largest, most] = [newcomer, (this.#bySource.get(newcomer)?.size ?? 0) + 1];
    for (const [source, { size }] of this.#bySource)
      if (size > most || (size === most && most === 1)) [largest, most] = [source, size];
    return largest;
  }

  #evictOldest(source: string): void {
    const [oldest] = this.#bySource.get(source) ?? [];
    if (oldest === undefined) return;
    this.#leave(oldest);
    oldest.evict();
  }

  #leave(holder: Holder): void {
    const holders = this.#bySource.get(holder.source);
    if (holders?.delete(holder) !== true) return;
    this.#count -= 1;
    if (holders.size === 0) this.#bySource.delete(holder.source);
  }
}
