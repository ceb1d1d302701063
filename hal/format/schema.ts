// Validation at the edge: once, completely, every fault in one message.
import * as v from "valibot";
import { Fault, type FaultCode } from "../fault.ts";

/**
 * `value` as `schema` describes it. Objects in our schemas are `v.strictObject`: an unknown member is a fault, not a thing to ignore.
 * @throws Fault with `code` (`schema.invalid` unless told otherwise), listing every fault as `path: what was expected`.
 */
export function check<const S extends v.GenericSchema>(
  schema: S,
  value: unknown,
  what: string,
  code: FaultCode = "schema.invalid",
): v.InferOutput<S> {
  const outcome = v.safeParse(schema, value);
  if (outcome.success) return outcome.output;
  const faults = outcome.issues.map((issue) => `${v.getDotPath(issue) ?? "(whole)"}: ${issue.message}`);
  throw new Fault(code, `${what} is invalid: ${faults.join("; ")}`);
}
