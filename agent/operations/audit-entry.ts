// The audit entry of an operation. [OPS-5] [AUD-2]
import { Fault } from "../../hal/fault.ts";
import { printable } from "../../hal/format/text.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import { DETAIL_CHARACTERS_MAX } from "./limits.ts";
import type { RequestContext } from "./request-context.ts";

/** How a request ended, or that a changing operation is about to begin. */
export type OperationEnd = { readonly fault: Fault | undefined; readonly durationMs: number } | "begins";

/**
 * @returns the entry for a request. Every outcome has one: allowed and done, allowed and failed,
 *   denied, malformed.
 */
export function auditEntryOf(context: RequestContext, ending: OperationEnd): AuditEntry {
  const { caller, principal, request } = context;
  const known = request instanceof Fault ? undefined : request;
  const fault = ending === "begins" ? undefined : ending.fault;
  return {
    ...verdict(fault),
    ...(principal && { principal: principal.id }),
    ...(known && { correlation: known.id }),
    detail: {
      channel: caller.channel,
      ...(known && { operation: printable(known.operation, 64) }),
      ...(ending === "begins" ? { stage: "begins" } : { durationMs: Math.max(0, Math.round(ending.durationMs)) }),
      ...(fault && { code: fault.code, message: printable(fault.message, DETAIL_CHARACTERS_MAX) }),
    },
  };
}

function verdict(fault: Fault | undefined): Pick<AuditEntry, "event" | "result"> {
  switch (fault?.code) {
    case undefined:
      return { event: "operation.allowed", result: "ok" };
    case "operation.unauthenticated":
    case "operation.denied":
      return { event: "operation.denied", result: "refused" };
    case "operation.invalid":
    case "operation.unknown":
      return { event: "input.refused", result: "refused" };
    default:
      return { event: "operation.allowed", result: "failed" };
  }
}
