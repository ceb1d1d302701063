// Validation of input against a schema: once, completely, with every fault in one message.
import * as v from "valibot";
import { Fault, type FaultCode } from "../fault.ts";

/**
 * @returns `value` as `schema` describes it. Objects in our schemas are `v.strictObject`: an
 *   unknown member is a fault and is not ignored.
 * @throws Fault with `code`, by default `schema.invalid`, that lists every fault as `path: what was
 *   expected`.
 */
export function check<const S extends v.GenericSchema>(
  schema: S,
  value: unknown,
  what: string,
  code: FaultCode = "schema.invalid",
): v.InferOutput<S> {
  const shape = shapeFaults(schema, value, "");
  const outcome = v.safeParse(schema, value);
  if (outcome.success && shape.length === 0) return outcome.output;
  const issues = (outcome.issues ?? []).filter((issue) => !isUnknownMember(issue));
  const faults = [...issues.map((issue) => `${v.getDotPath(issue) ?? "(whole)"}: ${issue.message}`), ...shape];
  throw new Fault(code, `${what} is invalid: ${faults.join("; ")}`);
}

/** valibot names only the first unknown member. {@link shapeFaults} names all of them. */
function isUnknownMember(issue: v.BaseIssue<unknown>): boolean {
  return issue.type === "strict_object" && issue.expected === "never";
}

/**
 * Finds what `v.strictObject` accepts although we do not: a second unknown member, an own member
 * with a name that every object inherits ("constructor"), a list in place of an object. It walks
 * objects within objects; members of lists and unions are left to the schema.
 */
function shapeFaults(schema: unknown, value: unknown, path: string): readonly string[] {
  const object = strictEntries(schema);
  if (object === undefined || typeof value !== "object" || value === null) return [];
  if (Array.isArray(value)) return [`${path === "" ? "(whole)" : path}: expected an object, got a list`];
  const known = Object.keys(object);
  return Object.entries(value).flatMap(([key, member]) => {
    const at = path === "" ? key : `${path}.${key}`;
    return Object.hasOwn(object, key)
      ? shapeFaults(object[key], member, at)
      : [`${at}: unknown, expected one of ${known.join(", ") || "none"}`];
  });
}

/** The members of a strict object, also of one inside `v.optional`. */
function strictEntries(schema: unknown): Readonly<Record<string, unknown>> | undefined {
  if (!isRecord(schema)) return undefined;
  if ("wrapped" in schema) return strictEntries(schema["wrapped"]);
  return schema["type"] === "strict_object" && isRecord(schema["entries"]) ? schema["entries"] : undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
