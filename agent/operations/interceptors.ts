// The interceptors around every operation. Each does one thing and asserts what it builds on, so that a wrong order stops instead of opening. [OPS-5]
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

export type Interceptor = (passage: RequestContext, ports: InterceptorPorts) => RequestContext | Promise<RequestContext>;

/** [OPS-3] @throws Fault `operation.unauthenticated`. */
export function authenticate(passage: RequestContext): RequestContext {
  return { ...passage, principal: principalOf(passage.caller) };
}

/** [OPS-4] @throws Fault `operation.unknown` for what is not in the table, `operation.denied` for a role it does not name, `operation.invalid` for no request. */
export function authorize(passage: RequestContext, { operations }: InterceptorPorts): RequestContext {
  const { principal, request } = passage;
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
      `"${principal.id}" with role ${principal.roles.join(", ") || "none"} may not ask for "${operation.name}"; it takes one of ${operation.roles.join(", ")}`,
    );
  }
  return { ...passage, operation };
}

/** @throws Fault `operation.invalid`. */
export function validate(passage: RequestContext): RequestContext {
  const { operation, request } = passage;
  assert(operation !== undefined && !(request instanceof Fault), "authorize comes before validate");
  return { ...passage, prepared: operation.prepare(request.args) };
}

/**
 * Runs the handler, within {@link RUN_MS_MAX}. A changing operation begins only when the trail already holds that it begins: nothing alters the device unseen. A
 * reading one goes on without, because a device whose trail is broken must still be able to say so.
 * @throws Fault `audit.write-failed` when a changing operation can't be recorded; what the handler throws, `operation.failed` for what is no Fault.
 */
export async function run(passage: RequestContext, { audit, clock }: InterceptorPorts): Promise<RequestContext> {
  const { operation, prepared, principal, request } = passage;
  assert(operation !== undefined && prepared !== undefined, "authorize and validate come before run");
  assert(principal !== undefined && !(request instanceof Fault), "authenticate comes before run");
  if (operation.changes) await recordBeginning(passage, audit, clock);
  try {
    const completed = await withTimeout(clock, RUN_MS_MAX, `operation "${operation.name}"`, () =>
      prepared.run({ principal, correlation: request.id }),
    );
    return { ...passage, completed };
  } catch (error) {
    throw asFault(error, "operation.failed", `operation "${operation.name}" failed`);
  }
}

async function recordBeginning(passage: RequestContext, audit: InterceptorPorts["audit"], clock: Clock): Promise<void> {
  try {
    await withTimeout(clock, AUDIT_MS_MAX, "the audit trail", () => audit(auditEntryOf(passage, "begins")));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Fault("audit.write-failed", `nothing was changed, because the audit trail could not record it: ${why}`, {
      cause: error,
    });
  }
}

/** Takes out what the principal may not see. */
export function redact(passage: RequestContext): RequestContext {
  const { completed, principal } = passage;
  assert(completed !== undefined && principal !== undefined, "run comes before redact");
  return { ...passage, result: completed.resultFor(principal) };
}
