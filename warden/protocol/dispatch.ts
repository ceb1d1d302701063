// The table of handlers and the one way to them. [OPS-2]
import { Fault } from "../../hal/fault.ts";
import { check } from "../../hal/format/schema.ts";
import { isWardenVerb, WARDEN_VERBS, type WardenArgs, type WardenResult, type WardenVerb } from "./format.ts";
import type { Request } from "./codec.ts";

/** One handler a verb: a verb without one, or a handler without a verb, does not compile. */
export type VerbHandlers = { readonly [V in WardenVerb]: (args: WardenArgs<V>) => Promise<WardenResult<V>> };

/** @throws Fault `protocol.unknown-verb`, `protocol.invalid` for arguments that are not the verb's, and whatever its handler throws. */
export async function dispatch(handlers: VerbHandlers, request: Request): Promise<object> {
  if (!isWardenVerb(request.verb))
    throw new Fault(
      "protocol.unknown-verb",
      `there is no verb "${printable(request.verb)}"; expected one of ${Object.keys(WARDEN_VERBS).join(", ")}`,
    );
  return await run(handlers, request.verb, request.args);
}

async function run<V extends WardenVerb>(handlers: VerbHandlers, verb: V, args: unknown): Promise<WardenResult<V>> {
  return await handlers[verb](check(WARDEN_VERBS[verb].args, args, `arguments of "${verb}"`, "protocol.invalid"));
}

/** What came from outside goes into logs with signs of its own replaced. */
export function printable(text: string): string {
  return text.slice(0, 64).replaceAll(/[^A-Za-z0-9._:-]/gu, "?");
}
