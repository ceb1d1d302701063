// The guard of our table: what another program changed is put back when the kernel tells of it, and
// not only at the next comparison. A fight costs it a part of one processor only. [LCK-69]
import { asFault, type Fault } from "../../hal/fault.ts";
import type { Clock, ForeignChange, WatchedFirewall } from "../../hal/ports.ts";
import { REST_PER_WORK } from "./limits.ts";
import type { Lockdown } from "./lockdown.ts";

export interface GuardOptions {
  readonly lockdown: Pick<Lockdown, "mend">;
  readonly firewall: Pick<WatchedFirewall, "watch">;
  readonly clock: Clock;
  readonly report: (fault: Fault) => void;
}

/** Runs until `signal` aborts. Never rejects. */
export async function guardTable(options: GuardOptions, signal: AbortSignal): Promise<void> {
  const guard = new TableGuard(options, signal);
  await Promise.all([options.firewall.watch(guard.noticed, options.report, signal), guard.run()]);
}

class TableGuard {
  readonly #options: GuardOptions;
  readonly #signal: AbortSignal;
  /** The first change since the table was last looked at: one look covers all of them. */
  #change: ForeignChange | undefined;
  #wake = Promise.withResolvers<void>();

  constructor(options: GuardOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    signal.addEventListener("abort", () => this.#wake.resolve(), { once: true });
  }

  readonly noticed = (change: ForeignChange): void => {
    this.#change ??= change;
    this.#wake.resolve();
  };

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
      } catch (error) {
        report(asFault(error, "assert.broken", "put the table back"));
      }
      // a single change is mended at once; one after the other, with pauses
      await clock.sleep(REST_PER_WORK * (clock.monotonicMs() - begunMs), this.#signal);
    }
  }
}
