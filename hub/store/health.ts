// Whether the store works: seen by every read and every commit, whoever asks for them. A store that
// fails for all of them fails the devices, whose connections end and whose messages wait. [STA-40]
import { asFault, Fault } from "../../hal/fault.ts";
import type { Engine } from "./engine.ts";

/** How long nothing may fail before the trouble counts as over. */
export const STORE_WELL_MS = 10_000;

export interface HealthOptions {
  readonly onFailing: (fault: Fault) => void;
  /** After {@link STORE_WELL_MS} without a failure. */
  readonly onWorking: () => void;
  /** Monotonic milliseconds. Default: the process's. */
  readonly nowMs?: () => number;
}

type Work = "read" | "commit";

/** A write that changes nothing. */
const PROBE = "UPDATE journal SET times = times WHERE n = (SELECT max(n) FROM journal)";

/** @returns `engine`, observed. A conflict is no failure: the store works. */
export function observeEngine(engine: Engine, options: HealthOptions): Engine {
  const health = new Health(engine, options);
  return {
    read: (sql, parameters) => health.observe("read", () => engine.read(sql, parameters)),
    commit: (statements) => health.observe("commit", () => engine.commit(statements)),
    version: () => engine.version(),
    close: () => {
      health.stop();
      return engine.close();
    },
  };
}

class Health {
  readonly #engine: Engine;
  readonly #options: HealthOptions;
  readonly #failedAtMs = new Map<Work, number>();
  #probe: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(engine: Engine, options: HealthOptions) {
    this.#engine = engine;
    this.#options = options;
  }

  async observe<T>(work: Work, act: () => Promise<T>): Promise<T> {
    try {
      const outcome = await act();
      this.#worked(work);
      return outcome;
    } catch (error) {
      if (error instanceof Fault && error.code === "hub.store-conflict") this.#worked(work);
      else this.#failed(work, asFault(error, "hub.store-failed", "use the hub's store"));
      throw error;
    }
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#probe);
  }

  #failed(work: Work, fault: Fault): void {
    if (this.#stopped) return;
    this.#failedAtMs.set(work, this.#nowMs());
    this.#options.onFailing(fault);
    this.#probe ??= setTimeout(() => void this.#try(), STORE_WELL_MS).unref();
  }

  #worked(work: Work): void {
    const failedAtMs = this.#failedAtMs.get(work);
    if (failedAtMs === undefined || this.#nowMs() - failedAtMs < STORE_WELL_MS) return;
    this.#failedAtMs.delete(work);
    if (this.#failedAtMs.size === 0) this.#options.onWorking();
  }

  /** Nobody may be left who would write: all devices wait for their next try. */
  async #try(): Promise<void> {
    this.#probe = undefined;
    try {
      await this.observe("commit", () => this.#engine.commit([{ sql: PROBE, parameters: [] }]));
      await this.observe("read", () => this.#engine.read("SELECT max(n) AS n FROM journal", []));
    } catch {
      return;
    }
    if (this.#failedAtMs.size > 0 && !this.#stopped) this.#probe ??= setTimeout(() => void this.#try(), STORE_WELL_MS).unref();
  }

  #nowMs(): number {
    return (this.#options.nowMs ?? performance.now.bind(performance))();
  }
}
