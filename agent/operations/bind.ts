// The table of operations bound to what carries them out. [OPS-4]
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
  /** The request's id: ties what the handler reports to the operation. */
  readonly correlation: string;
}

/** A handler for every operation of the table: one missing is a compile error. Handlers get checked arguments and judge no rights. */
export type OperationHandlers = {
  readonly [N in OperationName]: (args: OperationArgs<N>, context: RunContext) => Promise<OperationResult<N>>;
};

/** One operation, its types folded away: what was checked is what runs, and what ran is only seen redacted. */
export interface BoundOperation {
  readonly name: string;
  readonly roles: readonly OperatorRole[];
  readonly changes: boolean;
  /** @throws Fault `operation.invalid` for arguments other than the table's, unknown ones included. */
  prepare(args: unknown): PreparedOperation;
}

export interface PreparedOperation {
  run(context: RunContext): Promise<CompletedOperation>;
}

export interface CompletedOperation {
  /** The result with what `principal` may not see taken out. */
  resultFor(principal: Principal): Readonly<Record<string, unknown>>;
}

export type BoundOperations = ReadonlyMap<string, BoundOperation>;

/** A Map, so that no name an object inherits ("constructor", "__proto__") can be asked for. */
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
