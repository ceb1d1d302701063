// The context of a request in the pipeline. Each interceptor adds its result, and none removes
// anything.
import type { BoundOperation, CompletedOperation, PreparedOperation } from "./bind.ts";
import type { Caller } from "./caller.ts";
import type { Fault } from "../../hal/fault.ts";
import type { OperationRequest, Principal } from "./format.ts";

export interface RequestContext {
  readonly caller: Caller;
  /** The request, or the fault that makes it unreadable. */
  readonly request: OperationRequest | Fault;
  /** Set by `authenticate`. */
  readonly principal?: Principal;
  /** Set by `authorize` alone. A context with an operation has the right to request it. */
  readonly operation?: BoundOperation;
  /** Set by `validate`. */
  readonly prepared?: PreparedOperation;
  /** Set by `run`. */
  readonly completed?: CompletedOperation;
  /** Set by `redact`. */
  readonly result?: Readonly<Record<string, unknown>>;
}
