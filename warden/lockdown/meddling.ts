// Other programs that change our table: how often, since when, who. Kept in memory, since the start
// of this program. [LCK-69]
import { clip } from "../../hal/format/text.ts";
import { Fault } from "../../hal/fault.ts";
import type { ForeignChange } from "../../hal/ports.ts";
import type { LockdownState } from "./format/index.ts";
import { MEDDLING_TOLD_MS } from "./limits.ts";

/** Length of each text in the status and in a record. */
const TEXT_CHARACTERS_MAX = 160;

export class Meddling {
  #times = 0;
  #firstMs = 0;
  #lastMs = 0;
  #by = "unknown";

  /** Our table was not as planned, and was put in force again. */
  note({ by }: Pick<ForeignChange, "by">, nowMs: number): void {
    if (this.#times === 0) this.#firstMs = nowMs;
    this.#times += 1;
    this.#lastMs = nowMs;
    this.#by = clip(by, TEXT_CHARACTERS_MAX);
  }

  state(nowMs: number): LockdownState["meddling"] {
    if (this.#times === 0) return undefined;
    const ago = (atMs: number): number => Math.max(0, Math.round((nowMs - atMs) / 1000));
    return { times: this.#times, firstAgoS: ago(this.#firstMs), lastAgoS: ago(this.#lastMs), by: this.#by };
  }

  /**
   * From the second time on: the first may have been a service that starts once. The same text as
   * long as it lasts, so that it is one alert: the numbers are in the status.
   */
  trouble(nowMs: number): Fault | undefined {
    if (this.#times < 2 || nowMs - this.#lastMs > MEDDLING_TOLD_MS) return undefined;
    return new Fault(
      "lockdown.meddling",
      'another program changes the packet filter table "inet sallyport", which is put back each time; the lockdown\'s status says how often and who: ' +
        "it must leave this table alone, as by flushing its own tables instead of the whole ruleset",
    );
  }
}
