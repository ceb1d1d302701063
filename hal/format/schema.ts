// Validation of input against a schema: once, and with the faults in one message. What an input can
// make it do is bounded: it stops at the eighth fault. [STA-10]
import * as v from "valibot";
import { Fault, type FaultCode } from "../fault.ts";
import { clip, printable, quoted, type Quoting } from "./text.ts";

/** Faults that one message lists. Validation stops when it has found as many. [STA-10] */
export const FAULTS_LISTED_MAX = 8;
/**
 * Issues of a second validation, in case the first stopped at alternatives of a union that were
 * tried in vain, and has fewer than {@link FAULTS_LISTED_MAX} faults to list.
 */
const ISSUES_MADE_MAX = 64;
const PATH_CHARACTERS_MAX = 64;
const EXPECTED_CHARACTERS_MAX = 160;

/**
 * @returns `value` as `schema` describes it. Objects in our schemas are `v.strictObject`: an
 *   unknown member is a fault and is not ignored.
 * @throws Fault with `code`, by default `schema.invalid`, that lists the first
 *   {@link FAULTS_LISTED_MAX} faults as `path: what was expected`.
 */
export function check<const S extends v.GenericSchema>(
  schema: S,
  value: unknown,
  what: string,
  code: FaultCode = "schema.invalid",
  quoting: Quoting = "quoted",
): v.InferOutput<S> {
  const shape = shapeFaults(schema, value, quoting);
  const first = validate(schema, value, quoting, FAULTS_LISTED_MAX);
  if (first.success && shape.size === 0) return first.output;
  const isCutShort = first.isStopped && (first.issues ?? []).length < FAULTS_LISTED_MAX;
  const { issues = [] } = isCutShort ? validate(schema, value, quoting, ISSUES_MADE_MAX) : first;
  const faults = [
    ...issues.filter((issue) => !isNamedBy(shape, issue)).map((issue) => faultText(schema, issue, quoting)),
    ...shape.values(),
  ];
  const more = faults.length >= FAULTS_LISTED_MAX ? "; there may be more" : "";
  throw new Fault(code, `${what} is invalid: ${faults.slice(0, FAULTS_LISTED_MAX).join("; ")}${more}`);
}

/**
 * For an input that may be of another kind: nothing is reported, and validation stops at the first
 * issue.
 * @returns undefined when `value` is not as `schema` describes it.
 */
export function tryCheck<const S extends v.GenericSchema>(schema: S, value: unknown): v.InferOutput<S> | undefined {
  const outcome = v.safeParse(schema, value, { abortEarly: true });
  return outcome.success ? outcome.output : undefined;
}

/**
 * Runs the schema until `issuesMax` issues were made. valibot has no such bound, but it asks its
 * configuration at every issue: for the language once when it makes one, and then whether to stop.
 * [STA-10]
 */
function validate<const S extends v.GenericSchema>(schema: S, value: unknown, quoting: Quoting, issuesMax: number) {
  let made = 0;
  const config: v.Config<v.BaseIssue<unknown>> = {
    get lang() {
      made += 1;
      return undefined;
    },
    get abortEarly() {
      return made >= issuesMax;
    },
    message: (issue) => expectation(issue, quoting),
  };
  // safeParse copies a configuration, which would read the members above once only
  const bounded = { ...schema, "~run": (dataset: v.UnknownDataset) => schema["~run"](dataset, config) };
  const outcome = v.safeParse<S>(bounded, value);
  return { ...outcome, isStopped: made >= issuesMax };
}

/** For schemas without a message of their own. */
function expectation({ input, expected, received }: v.BaseIssue<unknown>, quoting: Quoting): string {
  const got =
    quoting === "withheld"
      ? `a value of type ${typeof input}`
      : typeof input === "string"
        ? quoted(input)
        : printable(received, 64);
  return `expected ${clip(expected ?? "another value", EXPECTED_CHARACTERS_MAX)}, got ${input === undefined ? "none" : got}`;
}

function faultText(schema: unknown, issue: v.BaseIssue<unknown>, quoting: Quoting): string {
  const path = quoting === "quoted" ? v.getDotPath(issue) : knownPath(schema, issue);
  const message = isUnknownMember(issue) ? "unknown" : issue.message;
  return path === null || path === "" ? message : `${printable(path, PATH_CHARACTERS_MAX)}: ${message}`;
}

/** valibot names only the first unknown member of an object. {@link shapeFaults} names more. */
function isUnknownMember(issue: v.BaseIssue<unknown>): boolean {
  return issue.type === "strict_object" && issue.expected === "never";
}

function isNamedBy(shape: ReadonlyMap<string, string>, issue: v.BaseIssue<unknown>): boolean {
  return isUnknownMember(issue) && shape.has(v.getDotPath(issue) ?? "");
}

/** The path to an issue, with `*` for each step that the schema does not name. [STA-11] */
function knownPath(schema: unknown, issue: v.BaseIssue<unknown>): string {
  let at: unknown = schema;
  const steps = (issue.path ?? []).map(({ key }) => {
    const inner = unwrapped(at);
    const entries = isRecord(inner) && isRecord(inner["entries"]) ? inner["entries"] : {};
    at =
      typeof key === "string" && Object.hasOwn(entries, key)
        ? entries[key]
        : isRecord(inner)
          ? (inner["item"] ?? inner["value"])
          : undefined;
    return typeof key === "number" || (typeof key === "string" && Object.hasOwn(entries, key)) ? String(key) : "*";
  });
  return steps.join(".");
}

/**
 * Finds what `v.strictObject` accepts although we do not: a second unknown member, an own member
 * with a name that every object inherits ("constructor"), a list in place of an object. It walks
 * objects within objects; members of lists and unions are left to the schema. It stops at
 * {@link FAULTS_LISTED_MAX}.
 * @returns the faults by their paths.
 */
function shapeFaults(schema: unknown, value: unknown, quoting: Quoting): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  findShapeFaults(schema, value, "", quoting, found);
  return found;
}

function findShapeFaults(schema: unknown, value: unknown, path: string, quoting: Quoting, found: Map<string, string>): void {
  const object = strictEntries(schema);
  if (object === undefined || !isRecord(value)) return;
  if (Array.isArray(value)) {
    found.set(path, `${path === "" ? "" : `${path}: `}expected an object, got a list`);
    return;
  }
  let expected = `, expected one of ${clip(Object.keys(object).join(", ") || "none", EXPECTED_CHARACTERS_MAX)}`;
  for (const key of Object.keys(value)) {
    if (found.size >= FAULTS_LISTED_MAX) return;
    const at = path === "" ? key : `${path}.${key}`;
    if (Object.hasOwn(object, key)) findShapeFaults(object[key], value[key], at, quoting, found);
    else {
      const shown = quoting === "quoted" ? printable(at, PATH_CHARACTERS_MAX) : `${path === "" ? "" : `${path}.`}*`;
      found.set(at, `${shown}: unknown${expected}`);
      expected = ""; // once for each object
    }
  }
}

/** The members of a strict object, also of one inside `v.optional`. */
function strictEntries(schema: unknown): Readonly<Record<string, unknown>> | undefined {
  const inner = unwrapped(schema);
  if (!isRecord(inner)) return undefined;
  return inner["type"] === "strict_object" && isRecord(inner["entries"]) ? inner["entries"] : undefined;
}

function unwrapped(schema: unknown): unknown {
  return isRecord(schema) && "wrapped" in schema ? unwrapped(schema["wrapped"]) : schema;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
