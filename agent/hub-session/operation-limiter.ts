// Operations asked by the hub, so many and no more. [OPS-6] [TUN-7]
import { Fault } from "../../hal/fault.ts";
import { limitLineRate, createTokenBucket } from "../../hal/rate-limit.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { OperationAnswer, OperationRequest } from "../operations/format.ts";
import type { Operations } from "../operations/index.ts";
import { OPERATION_REFILL_MS, OPERATIONS_BURST_MAX, REFUSAL_LINE_REFILL_MS, REFUSAL_LINES_BURST_MAX } from "./limits.ts";

/** After a pause in which the bucket fills, what comes is another flood. */
const FLOOD_OVER_AFTER_MS = OPERATIONS_BURST_MAX * OPERATION_REFILL_MS;

/**
 * @returns the answer: what came of it, or the fault `operation.rate-limited`. Undefined for what is beyond even that: an answer lies in the spool, so refusing
 *   without bound would write without bound.
 * @throws Fault as {@link Operations.perform}.
 */
export type OperationLimiter = (
  certificate: string | undefined,
  request: OperationRequest,
) => Promise<OperationAnswer | undefined>;

export function createOperationLimiter(parts: {
  readonly operations: Pick<Operations, "perform">;
  readonly clock: Pick<Clock, "monotonicMs" | "sleep">;
  readonly note: (entry: AuditEntry) => void;
  readonly log: (line: string) => void;
}): OperationLimiter {
  const { operations, clock, note } = parts;
  const askings = createTokenBucket(clock, OPERATIONS_BURST_MAX, OPERATION_REFILL_MS);
  const refusals = createTokenBucket(clock, OPERATIONS_BURST_MAX, OPERATION_REFILL_MS);
  const log = limitLineRate(createTokenBucket(clock, REFUSAL_LINES_BURST_MAX, REFUSAL_LINE_REFILL_MS), parts.log);
  let askedAtMs = clock.monotonicMs();
  let flooded = false;

  /** One record a flood, however long it goes on. */
  function tellFlood({ code, message }: Fault): void {
    log(`operation refused: ${code}: ${message}`);
    if (!flooded)
      note({ event: "input.refused", result: "refused", principal: "hub", detail: { channel: "tunnel", code, message } });
    flooded = true;
  }

  return async (certificate, request) => {
    const nowMs = clock.monotonicMs();
    if (nowMs - askedAtMs >= FLOOD_OVER_AFTER_MS) flooded = false;
    askedAtMs = nowMs;
    if (askings.take()) return operations.perform({ channel: "tunnel", certificate }, request);
    const fault = new Fault(
      "operation.rate-limited",
      `carry out an operation: ${OPERATIONS_BURST_MAX} at once and one every ${OPERATION_REFILL_MS / 1000} s are accepted; ask again later`,
    );
    tellFlood(fault);
    if (!refusals.take()) return undefined;
    return { v: 1, id: request.id, fault: { code: fault.code, message: fault.message } };
  };
}
