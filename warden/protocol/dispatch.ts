// The dispatcher: the table of handlers, and the only way to them. [OPS-2]
import { Fault } from "../../hal/fault.ts";
import { check } from "../../hal/format/schema.ts";
import { printable } from "../../hal/format/text.ts";
import { isWardenVerb, WARDEN_VERBS, type WardenArgs, type WardenResult, type WardenVerb } from "./format.ts";
import type { Request } from "./codec.ts";
import { VERB_CHARACTERS_MAX } from "./limits.ts";

/**
 * One handler for each verb: a verb without a handler, or a handler without a verb, does not
 * compile.
 */
export type VerbHandlers = { readonly [V in WardenVerb]: (args: WardenArgs<V>) => Promise<WardenResult<V>> };

/**
 * Checks verb and arguments, and does nothing yet.
 * @returns the call of the handler. It rejects with what the handler throws.
 * @throws Fault `protocol.unknown-verb`; `protocol.invalid` for arguments that do not fit the verb.
 */
export function prepare(handlers: VerbHandlers, request: Request): () => Promise<object> {
  if (!isWardenVerb(request.verb))
    throw new Fault(
      "protocol.unknown-verb",
      `there is no verb "${verbName(request)}"; expected one of ${Object.keys(WARDEN_VERBS).join(", ")}`,
    );
  return prepareVerb(handlers, request.verb, request.args);
}

function prepareVerb<V extends WardenVerb>(handlers: VerbHandlers, verb: V, args: unknown): () => Promise<WardenResult<V>> {
  const checked: WardenArgs<V> = check(WARDEN_VERBS[verb].args, args, `arguments of "${verb}"`, "protocol.invalid");
  return () => handlers[verb](checked);
}

/** The verb of a request as it may go into logs and messages. */
export function verbName({ verb }: Pick<Request, "verb">): string {
  return printable(verb, VERB_CHARACTERS_MAX);
}
