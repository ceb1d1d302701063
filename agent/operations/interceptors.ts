// The interceptors around every operation. Each does one thing and asserts what it depends on, so
// that a wrong order of interceptors fails closed. [OPS-5]
import { assert, asFault, Fault } from "../../hal/fault.ts";
import { quoted } from "../../hal/format/text.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { BoundOperations } from "./bind.ts";
import { principalOf } from "./caller.ts";
import { auditEntryOf } from "./audit-entry.ts";
import { AUDIT_MS_MAX, RUN_MS_MAX } from "./limits.ts";
import type { RequestContext } from "./request-context.ts";
import { withTimeout } from "./timeout.ts";

export interface InterceptorPorts {
  readonly operations: BoundOperations;
  /** Resolves when the entry is durable. */
  readonly audit: (entry: AuditEntry) => Promise<void>;
  readonly clock: Clock;
}

export type Interceptor = (context: RequestContext, ports: InterceptorPorts) => RequestContext | Promise<RequestContext>;

/** [OPS-3] @throws Fault `operation.unauthenticated`. */
export function authenticate(context: RequestContext): RequestContext {
  return { ...context, principal: principalOf(context.caller) };
}

/**
 * [OPS-4]
 * @throws Fault `operation.unknown` for a name that is not in the table; `operation.denied` for
 *   roles that the table does not allow; `operation.invalid` for a malformed request.
 */
export function authorize(context: RequestContext, { operations }: InterceptorPorts): RequestContext {
  const { principal, request } = context;
  assert(principal !== undefined, "authenticate comes before authorize");
  if (request instanceof Fault) throw request;
  const operation = operations.get(request.operation);
  if (operation === undefined) {
    throw new Fault(
      "operation.unknown",
      `there is no operation ${quoted(request.operation)}; there are ${[...operations.keys()].join(", ")}`,
    );
  }
  if (!principal.roles.some((role) => operation.roles.includes(role))) {
    throw new Fault(
      "operation.denied",
      `"${principal.id}" with role ${principal.roles.join(", ") || "none"} may not ask for "${operation.name}"; that needs one of ${operation.roles.join(", ")}`,
    );
  }
  return { ...context, operation };
}

/** Checks the arguments. @throws Fault `operation.invalid`. */
export function validate(context: RequestContext): RequestContext {
  const { operation, request } = context;
  assert(operation !== undefined && !(request instanceof Fault), "authorize comes before validate");
  return { ...context, prepared: operation.prepare(request.args) };
}

/**
 * Runs the handler, for at most {@link RUN_MS_MAX}. A changing operation begins only after the
 * trail has recorded that it begins, so that nothing changes the device without a record. A reading
 * operation needs no such record, because a device with a broken trail must still be able to report
 * that.
 * @throws Fault `audit.write-failed` when a changing operation cannot be recorded; otherwise the
 *   Fault of the handler, or `operation.failed` for an error that is not a Fault.
 */
export async function run(context: RequestContext, { audit, clock }: InterceptorPorts): Promise<RequestContext> {
  const { operation, prepared, principal, request } = context;
  assert(operation !== undefined && prepared !== undefined, "authorize and validate come before run");
  assert(principal !== undefined && !(request instanceof Fault), "authenticate comes before run");
  if (operation.changes) await recordBeginning(context, audit, clock);
  try {
    const completed = await withTimeout(clock, RUN_MS_MAX, `operation "${operation.name}"`, () =>
      prepared.run({ principal, correlation: request.id }),
    );
    return { ...context, completed };
  } catch (error) {
    throw asFault(error, "operation.failed", `operation "${operation.name}" failed`);
  }
}

async function recordBeginning(context: RequestContext, audit: InterceptorPorts["audit"], clock: Clock): Promise<void> {
  try {
    await withTimeout(clock, AUDIT_MS_MAX, "the audit trail", () => audit(auditEntryOf(context, "begins")));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Fault("audit.write-failed", `nothing was changed, because the audit trail could not record it: ${why}`, {
      cause: error,
    });
  }
}

/** Removes from the result what the principal may not see. */
export function redact(context: RequestContext): RequestContext {
  const { completed, principal } = context;
  assert(completed !== undefined && principal !== undefined, "run comes before redact");
  return { ...context, result: completed.resultFor(principal) };
}
