// The guard of our table: what another program changed is put back when the kernel tells of it, and
// not only at the next comparison. A fight costs it a part of one processor only. [LCK-69]
import { asFault, type Fault } from "../../hal/fault.ts";
import type { Clock, ForeignChange, WatchedFirewall } from "../../hal/ports.ts";
import { MEND_TRIES_MAX, REST_PER_WORK, TOLD_WITHIN_MS } from "./limits.ts";
import type { Lockdown } from "./lockdown.ts";

export interface GuardOptions {
  readonly lockdown: Pick<Lockdown, "mend">;
  readonly firewall: Pick<WatchedFirewall, "watch">;
  readonly clock: Clock;
  readonly report: (fault: Fault) => void;
}

export interface Guard {
  /** Resolves when `signal` has aborted. Never rejects. */
  readonly ended: Promise<void>;
  /** A comparison has found a change that should have been told: the watch may hang. */
  missed(this: void): void;
}

/** Runs until `signal` aborts. */
export function guardTable(options: GuardOptions, signal: AbortSignal): Guard {
  const guard = new TableGuard(options, signal);
  return {
    ended: Promise.all([guard.watch(), guard.run()]).then(() => undefined),
    missed: () => void guard.renewUnlessTold(),
  };
}

class TableGuard {
  readonly #options: GuardOptions;
  readonly #signal: AbortSignal;
  /** Aborts the watch, which then begins anew. */
  #watch = new AbortController();
  #told = 0;
  /** Looks that failed, one after the other. */
  #failures = 0;
  /** The first change since the table was last looked at: one look covers all of them. */
  #change: ForeignChange | undefined;
  #wake = Promise.withResolvers<void>();

  constructor(options: GuardOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    signal.addEventListener("abort", () => this.#wake.resolve(), { once: true });
  }

  readonly noticed = (change: ForeignChange): void => {
    this.#told += 1;
    this.#again(change);
  };

  #again(change: ForeignChange): void {
    this.#change ??= change;
    this.#wake.resolve();
  }

  async watch(): Promise<void> {
    const { firewall, report } = this.#options;
    while (!this.#signal.aborted) {
      this.#watch = new AbortController();
      await firewall.watch(this.noticed, report, AbortSignal.any([this.#signal, this.#watch.signal]));
    }
  }

  /** What the kernel tells may be on its way while another look finds the same. */
  async renewUnlessTold(): Promise<void> {
    const before = this.#told;
    await this.#options.clock.sleep(TOLD_WITHIN_MS, this.#signal);
    if (this.#told === before) this.#watch.abort();
  }

  async run(): Promise<void> {
    const { clock, report } = this.#options;
    while (!this.#signal.aborted) {
      await this.#wake.promise;
      const change = this.#change;
      this.#wake = Promise.withResolvers();
      this.#change = undefined;
      if (change === undefined) continue;
      const begunMs = clock.monotonicMs();
      try {
        await this.#options.lockdown.mend(change);
        this.#failures = 0;
      } catch (error) {
        report(asFault(error, "assert.broken", "put the table back"));
        // a moment in which another program changes the table again; what lasts is left to the
        // comparison
        this.#failures += 1;
        if (this.#failures < MEND_TRIES_MAX) this.#again(change);
      }
      // a single change is mended at once; one after the other, with pauses
      await clock.sleep(REST_PER_WORK * (clock.monotonicMs() - begunMs), this.#signal);
    }
  }
}
