// Everything the agent can be asked to do, and the one way to ask. [OPS-5]
import { bindOperations, type Handlers } from "./bind.ts";
import type { InterceptorPorts } from "./interceptors.ts";
import { createPipeline, type Operations } from "./pipeline.ts";

export type { Handlers, RunContext } from "./bind.ts";
export type { Caller, ConsoleLogin } from "./caller.ts";
export { createHandlers, type HandlerPorts } from "./handlers.ts";
export type { Operations } from "./pipeline.ts";

export interface OperationsParts extends Omit<InterceptorPorts, "operations"> {
  readonly handlers: Handlers;
}

export function createOperations({ handlers, audit, clock }: OperationsParts): Operations {
  return createPipeline({ operations: bindOperations(handlers), audit, clock });
}
