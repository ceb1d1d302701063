// The watch over a system under trial: reports its health and the uptime of this boot to the
// driver. [OTA-60] [OTA-43]
import { asFault } from "../../hal/fault.ts";
import type { Event, State } from "../../ota/commit/index.ts";
import { changedResults } from "./health.ts";
import { HEALTH_EVERY_MS } from "./limits.ts";
import type { UpdatePorts } from "./ports.ts";

/** What the watch reads of the driver, and where it reports to. */
export interface TrialDriver {
  state(): State;
  /** Never rejects. */
  post(event: Event): Promise<void>;
}

export class TrialWatch {
  readonly #ports: Pick<UpdatePorts, "health" | "uptimeMs" | "clock" | "report">;
  readonly #driver: TrialDriver;
  readonly #stopped = new AbortController();
  #isWatching = false;

  constructor(ports: Pick<UpdatePorts, "health" | "uptimeMs" | "clock" | "report">, driver: TrialDriver) {
    this.#ports = ports;
    this.#driver = driver;
  }

  /** Watches until the trial is over. */
  start(): void {
    if (this.#isWatching) return;
    this.#isWatching = true;
    void this.#watch();
  }

  /** Checks the health at once: something that counts may have happened. */
  nudge(): void {
    void this.#reportHealth();
  }

  stop(): void {
    this.#stopped.abort();
  }

  async #watch(): Promise<void> {
    const { uptimeMs, clock, report } = this.#ports;
    while (this.#isTrialOn()) {
      // before the deadline: the reason of a rollback must say what had passed
      await this.#reportHealth();
      try {
        const now = await uptimeMs();
        if (this.#isTrialOn()) await this.#driver.post({ kind: "tick", uptimeMs: now });
      } catch (error) {
        report(asFault(error, "assert.broken", "read the uptime"));
      }
      await clock.sleep(HEALTH_EVERY_MS, this.#stopped.signal);
    }
    this.#isWatching = false;
  }

  async #reportHealth(): Promise<void> {
    const { phase } = this.#driver.state();
    if (phase.at !== "trying" || !this.#isTrialOn()) return;
    for (const result of changedResults(phase.trial.health, this.#ports.health))
      if (this.#isTrialOn()) await this.#driver.post({ kind: "health", result });
  }

  #isTrialOn(): boolean {
    const { phase } = this.#driver.state();
    return phase.at === "trying" && phase.trial.seen && !this.#stopped.signal.aborted;
  }
}
