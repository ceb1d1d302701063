// The pipeline of interceptors that every request passes, in a fixed order. [OPS-5]
import { asFault, Fault } from "../../hal/fault.ts";
import type { FaultReport } from "../../hal/format/fault.ts";
import { printable } from "../../hal/format/text.ts";
import type { Caller } from "./caller.ts";
import { auditEntryOf } from "./audit-entry.ts";
import type { OperationAnswer } from "./format.ts";
import { authenticate, authorize, type Interceptor, type InterceptorPorts, redact, run, validate } from "./interceptors.ts";
import { AUDIT_MS_MAX, FAULT_MESSAGE_CHARACTERS_MAX } from "./limits.ts";
import type { RequestContext } from "./request-context.ts";
import { faultFor } from "./redact.ts";
import { answerId, readRequest } from "./request.ts";
import { withTimeout } from "./timeout.ts";

/**
 * [OPS-5] Each interceptor runs once, in this order, and the first that throws is the last. `audit`
 * follows in every case.
 */
export const INTERCEPTORS: readonly Interceptor[] = [authenticate, authorize, validate, run, redact];

export interface Operations {
  /**
   * Performs the request, or answers why not. Malformed input, missing rights and failing handlers
   * are faults in the answer and not exceptions.
   * @throws Fault `assert.broken` only.
   */
  perform(caller: Caller, request: unknown): Promise<OperationAnswer>;
  /**
   * The operations' own faults for the status: an audit trail that takes no records. Empty when all
   * is well.
   */
  troubles(): readonly FaultReport[];
}

export function createPipeline(ports: InterceptorPorts): Operations {
  let auditFault: Fault | undefined;

  /**
   * Records the request before its answer leaves. A failure is reported in the status; it is no
   * reason to withhold the answer.
   */
  async function audit(context: RequestContext, fault: Fault | undefined, durationMs: number): Promise<void> {
    try {
      const entry = auditEntryOf(context, { fault, durationMs });
      await withTimeout(ports.clock, AUDIT_MS_MAX, "the audit trail", () => ports.audit(entry));
      auditFault = undefined;
    } catch (error) {
      auditFault = asFault(error, "audit.write-failed", "record an operation");
    }
  }

  return {
    async perform(caller, request) {
      const startedMs = ports.clock.monotonicMs();
      const { context, fault } = await pass({ caller, request: readRequest(request) }, ports);
      await audit(context, fault, ports.clock.monotonicMs() - startedMs);
      // A programming error is recorded and then thrown, so that it does not pass for a refusal.
      if (fault?.code === "assert.broken") throw fault;
      return answerOf(answerId(request), context, fault);
    },
    troubles: () => (auditFault === undefined ? [] : [{ code: auditFault.code, message: auditFault.message }]),
  };
}

/** @returns the context as far as it was filled, and the fault that stopped it, if any. */
async function pass(
  start: RequestContext,
  ports: InterceptorPorts,
): Promise<{ readonly context: RequestContext; readonly fault: Fault | undefined }> {
  let context = start;
  try {
    for (const interceptor of INTERCEPTORS) context = await interceptor(context, ports);
    return { context, fault: undefined };
  } catch (error) {
    return { context, fault: asFault(error, "operation.failed", "operation failed") };
  }
}

function answerOf(id: string, { principal, result }: RequestContext, fault: Fault | undefined): OperationAnswer {
  if (fault === undefined && result !== undefined) return { v: 1, id, result };
  const { code, message } = faultFor(principal, fault ?? new Fault("operation.failed", "no result"));
  return { v: 1, id, fault: { code, message: printable(message, FAULT_MESSAGE_CHARACTERS_MAX) } };
}
