// The rate limit of operations that the hub asks for. [OPS-6] [TUN-7]
import { Fault } from "../../hal/fault.ts";
import { type TokenBucket, limitLineRate, createTokenBucket } from "../../hal/rate-limit.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { OperationAnswer } from "../operations/format.ts";
import type { Operations } from "../operations/index.ts";
import { OPERATION_REFILL_MS, OPERATIONS_BURST_MAX, REFUSAL_LINE_REFILL_MS, REFUSAL_LINES_BURST_MAX } from "./limits.ts";

/** After a pause in which the bucket fills, refusals belong to another flood. */
const FLOOD_OVER_AFTER_MS = OPERATIONS_BURST_MAX * OPERATION_REFILL_MS;

/**
 * Carries out an operation.
 * @returns the fault `operation.rate-limited` instead of an answer when it was not carried out: too
 *   many came at once, or too many are in progress.
 * @throws Fault as {@link Operations.perform}.
 */
export type OperationLimiter = (certificate: string | undefined, request: unknown) => Promise<OperationAnswer | Fault>;

export interface OperationLimiterOptions {
  readonly operations: Pick<Operations, "perform">;
  readonly clock: Pick<Clock, "monotonicMs" | "sleep">;
  /** For the audit trail; never throws. */
  readonly note: (entry: AuditEntry) => void;
  readonly log: (line: string) => void;
}

export function createOperationLimiter(options: OperationLimiterOptions): OperationLimiter {
  const limiter = new Limiter(options);
  return (certificate, request) => limiter.perform(certificate, request);
}

class Limiter {
  readonly #options: OperationLimiterOptions;
  readonly #operations: TokenBucket;
  readonly #log: (line: string) => void;
  #running = 0;
  #lastRequestAtMs: number;
  #isFloodRecorded = false;

  constructor(options: OperationLimiterOptions) {
    const { clock, log } = options;
    this.#options = options;
    this.#operations = createTokenBucket(clock, OPERATIONS_BURST_MAX, OPERATION_REFILL_MS);
    this.#log = limitLineRate(createTokenBucket(clock, REFUSAL_LINES_BURST_MAX, REFUSAL_LINE_REFILL_MS), log);
    this.#lastRequestAtMs = clock.monotonicMs();
  }

  async perform(certificate: string | undefined, request: unknown): Promise<OperationAnswer | Fault> {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#lastRequestAtMs >= FLOOD_OVER_AFTER_MS) this.#isFloodRecorded = false;
    this.#lastRequestAtMs = nowMs;
    if (this.#running < OPERATIONS_BURST_MAX && this.#operations.take()) return this.#carryOut(certificate, request);
    const fault = new Fault(
      "operation.rate-limited",
      `carry out an operation: ${OPERATIONS_BURST_MAX} at once and one every ${OPERATION_REFILL_MS / 1000} s are accepted; ask again later`,
    );
    this.#recordFlood(fault);
    return fault;
  }

  async #carryOut(certificate: string | undefined, request: unknown): Promise<OperationAnswer> {
    this.#running += 1;
    try {
      return await this.#options.operations.perform({ channel: "tunnel", certificate }, request);
    } finally {
      this.#running -= 1;
    }
  }

  /** Makes one record for each flood, however long it lasts. */
  #recordFlood({ code, message }: Fault): void {
    this.#log(`operation refused: ${code}: ${message}`);
    if (!this.#isFloodRecorded)
      this.#options.note({
        event: "input.refused",
        result: "refused",
        principal: "hub",
        detail: { channel: "tunnel", code, message },
      });
    this.#isFloodRecorded = true;
  }
}
