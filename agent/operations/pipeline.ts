// The one way in: whoever asks for whatever passes here, in this order. [OPS-5]
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

/** [OPS-5] Each once, in this order; the first that throws ends the row. After it comes `audit`, whatever the end was. */
export const INTERCEPTORS: readonly Interceptor[] = [authenticate, authorize, validate, run, redact];

export interface Operations {
  /**
   * Carries out what `caller` asks for, or says why not. Never throws for input, rights or a handler: those are faults in the answer.
   * @throws Fault `assert.broken` only.
   */
  perform(caller: Caller, request: unknown): Promise<OperationAnswer>;
  /** What does not work of the operations themselves, for the status: an audit trail that takes no records. Empty when all is well. */
  troubles(): readonly FaultReport[];
}

export function createPipeline(ports: InterceptorPorts): Operations {
  let auditFault: Fault | undefined;

  /** The record is made before the answer leaves. Not being able to is a trouble, not a reason to withhold what was done or refused. */
  async function audit(passage: RequestContext, fault: Fault | undefined, durationMs: number): Promise<void> {
    try {
      const entry = auditEntryOf(passage, { fault, durationMs });
      await withTimeout(ports.clock, AUDIT_MS_MAX, "the audit trail", () => ports.audit(entry));
      auditFault = undefined;
    } catch (error) {
      auditFault = asFault(error, "audit.write-failed", "record an operation");
    }
  }

  return {
    async perform(caller, asked) {
      const startedMs = ports.clock.monotonicMs();
      const { passage, fault } = await pass({ caller, request: readRequest(asked) }, ports);
      await audit(passage, fault, ports.clock.monotonicMs() - startedMs);
      if (fault?.code === "assert.broken") throw fault; // a defect of ours: recorded, then as loud as it gets
      return answerOf(answerId(asked), passage, fault);
    },
    troubles: () => (auditFault === undefined ? [] : [{ code: auditFault.code, message: auditFault.message }]),
  };
}

/** @returns how far it came, and the fault that stopped it, if one did. */
async function pass(
  start: RequestContext,
  ports: InterceptorPorts,
): Promise<{ readonly passage: RequestContext; readonly fault: Fault | undefined }> {
  let passage = start;
  try {
    for (const interceptor of INTERCEPTORS) passage = await interceptor(passage, ports);
    return { passage, fault: undefined };
  } catch (error) {
    return { passage, fault: asFault(error, "operation.failed", "operation failed") };
  }
}

function answerOf(id: string, { principal, result }: RequestContext, fault: Fault | undefined): OperationAnswer {
  if (fault === undefined && result !== undefined) return { v: 1, id, result };
  const { code, message } = faultFor(principal, fault ?? new Fault("operation.failed", "no result"));
  return { v: 1, id, fault: { code, message: printable(message, FAULT_MESSAGE_CHARACTERS_MAX) } };
}
