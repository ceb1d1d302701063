// One request on its way through the interceptors: each adds what it found out, none takes anything away.
import type { BoundOperation, CompletedOperation, PreparedOperation } from "./bind.ts";
import type { Caller } from "./caller.ts";
import type { Fault } from "../../hal/fault.ts";
import type { OperationRequest, Principal } from "./format.ts";

export interface RequestContext {
  readonly caller: Caller;
  /** The request as read, or why it can't be read. */
  readonly request: OperationRequest | Fault;
  /** From `authenticate`. */
  readonly principal?: Principal;
  /** From `authorize`, which alone sets it: whoever holds a passage with an operation holds the right to ask for it. */
  readonly operation?: BoundOperation;
  /** From `validate`. */
  readonly prepared?: PreparedOperation;
  /** From `run`. */
  readonly completed?: CompletedOperation;
  /** From `redact`. */
  readonly result?: Readonly<Record<string, unknown>>;
}
