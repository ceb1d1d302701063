// The table of operations, bound to the handlers. [OPS-4]
import { check } from "../../hal/format/schema.ts";
import {
  isOperationName,
  type OperationArgs,
  type OperationName,
  type OperationResult,
  OPERATIONS,
  type Principal,
} from "./format.ts";
import type { OperatorRole } from "../../warden/roster/format.ts";
import { REDACTORS, type Redactors } from "./redact.ts";

export interface RunContext {
  readonly principal: Principal;
  /** The id of the request. It connects the handler's records with the operation. */
  readonly correlation: string;
}

/**
 * One handler for every operation of the table; a missing one is a compile error. Handlers get
 * validated arguments, and do not check rights.
 */
export type OperationHandlers = {
  readonly [N in OperationName]: (args: OperationArgs<N>, context: RunContext) => Promise<OperationResult<N>>;
};

/**
 * One operation, without its types: only validated arguments can be run, and only a redacted result
 * can be read.
 */
export interface BoundOperation {
  readonly name: string;
  readonly roles: readonly OperatorRole[];
  readonly changes: boolean;
  /**
   * @throws Fault `operation.invalid` for arguments that the table does not allow, unknown ones
   *   included.
   */
  prepare(args: unknown): PreparedOperation;
}

export interface PreparedOperation {
  run(context: RunContext): Promise<CompletedOperation>;
}

export interface CompletedOperation {
  /** The result without what `principal` may not see. */
  resultFor(principal: Principal): Readonly<Record<string, unknown>>;
}

export type BoundOperations = ReadonlyMap<string, BoundOperation>;

/** @returns a Map, so that names that objects inherit ("constructor", "__proto__") do not exist. */
export function bindOperations(handlers: OperationHandlers): BoundOperations {
  const names = Object.keys(OPERATIONS).filter((name) => isOperationName(name));
  return new Map(names.map((name) => [name, bindOperation(name, handlers[name], REDACTORS[name])]));
}

function bindOperation<N extends OperationName>(name: N, handler: OperationHandlers[N], redactor: Redactors[N]): BoundOperation {
  const { args: schema, roles, changes } = OPERATIONS[name];
  return {
    name,
    roles,
    changes,
    prepare(raw) {
      const args: OperationArgs<N> = check(schema, raw, `argument list of "${name}"`, "operation.invalid");
      return {
        async run(context) {
          const result = await handler(args, context);
          return { resultFor: (principal) => redactor(result, principal) };
        },
      };
    },
  };
}
