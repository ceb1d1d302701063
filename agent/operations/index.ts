// The operations of the agent, and the one pipeline that every request passes. [OPS-5]
import { bindOperations, type OperationHandlers } from "./bind.ts";
import type { InterceptorPorts } from "./interceptors.ts";
import { createPipeline, type Operations } from "./pipeline.ts";

export type { OperationHandlers, RunContext } from "./bind.ts";
export type { Caller, ConsoleLogin } from "./caller.ts";
export { createHandlers, type HandlerPorts } from "./handlers.ts";
export { FAULT_MESSAGE_CHARACTERS_MAX } from "./limits.ts";
export type { Operations } from "./pipeline.ts";
export { answerId } from "./request.ts";

export interface OperationsOptions extends Omit<InterceptorPorts, "operations"> {
  readonly handlers: OperationHandlers;
}

export function createOperations({ handlers, audit, clock }: OperationsOptions): Operations {
  return createPipeline({ operations: bindOperations(handlers), audit, clock });
}
