// The request budget: what requests may cost the warden, all connections of its socket together.
// It is counted in bytes, because the work for a line grows with its length. [OPS-10]
import { setImmediate } from "node:timers/promises";
import { createMutex } from "../../hal/mutex.ts";
import type { Clock } from "../../hal/ports.ts";
import { REFUSAL_COST_BYTES, REQUEST_BYTES_BURST_MAX, REQUEST_BYTES_PER_SECOND_MAX, REQUEST_COST_BYTES } from "./limits.ts";

export interface RequestBudget {
  /**
   * Pays for a line of `bytes` bytes. Calls are served in their order, and the event loop gets a
   * turn after each: timers and other connections never wait for more than one line.
   * @returns true when the line may be served; false when `signal` aborts first.
   */
  pay(bytes: number, signal: AbortSignal): Promise<boolean>;
  /** Charges a refusal: the lines after it wait longer. */
  chargeRefusal(): void;
}

export interface RequestBudgetLimits {
  readonly bytesPerSecond: number;
  readonly burstBytes: number;
}

/** One budget for all connections: a new connection brings no new allowance. */
export function createRequestBudget(
  clock: Pick<Clock, "monotonicMs" | "sleep">,
  limits: RequestBudgetLimits = { bytesPerSecond: REQUEST_BYTES_PER_SECOND_MAX, burstBytes: REQUEST_BYTES_BURST_MAX },
): RequestBudget {
  return new ByteBudget(clock, limits);
}

class ByteBudget implements RequestBudget {
  readonly #clock: Pick<Clock, "monotonicMs" | "sleep">;
  readonly #limits: RequestBudgetLimits;
  readonly #inOrder = createMutex();
  /** Below 0 a debt, which is paid before the next line is served. */
  #bytesLeft: number;
  #refilledAtMs: number;

  constructor(clock: Pick<Clock, "monotonicMs" | "sleep">, limits: RequestBudgetLimits) {
    this.#clock = clock;
    this.#limits = limits;
    this.#bytesLeft = limits.burstBytes;
    this.#refilledAtMs = clock.monotonicMs();
  }

  pay(bytes: number, signal: AbortSignal): Promise<boolean> {
    return this.#inOrder(async () => {
      for (let dueMs = this.#dueMs(); dueMs > 0 && !signal.aborted; dueMs = this.#dueMs()) await this.#clock.sleep(dueMs, signal);
      if (signal.aborted) return false;
      this.#spend(REQUEST_COST_BYTES + bytes);
      await setImmediate();
      return !signal.aborted;
    });
  }

  chargeRefusal(): void {
    this.#dueMs(); // takes in what came since, so that the charge is not lost at the bound
    this.#spend(REFUSAL_COST_BYTES);
  }

  /** The debt is bounded, so that no wait is longer than the burst takes to come back. */
  #spend(bytes: number): void {
    this.#bytesLeft = Math.max(-this.#limits.burstBytes, this.#bytesLeft - bytes);
  }

  /** Milliseconds until the debt is paid; 0 when there is none. */
  #dueMs(): number {
    const { bytesPerSecond, burstBytes } = this.#limits;
    const nowMs = this.#clock.monotonicMs();
    this.#bytesLeft = Math.min(burstBytes, this.#bytesLeft + ((nowMs - this.#refilledAtMs) * bytesPerSecond) / 1000);
    this.#refilledAtMs = nowMs;
    return this.#bytesLeft >= 0 ? 0 : Math.max(1, Math.ceil((-this.#bytesLeft * 1000) / bytesPerSecond));
  }
}
