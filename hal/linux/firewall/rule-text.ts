// The canonical text of a rule. [LCK-60] [LCK-61]
import * as v from "valibot";
import { mergeIntervals } from "../../format/intervals.ts";
import { nameOf, rejectionOf } from "./names.ts";

const objectSchema = v.custom<Readonly<Record<string, unknown>>>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
);
const matchSchema = v.strictObject({ op: v.picklist(["==", "!=", "in"]), left: objectSchema, right: v.unknown() });
const metaSchema = v.strictObject({ key: v.string() });
const payloadSchema = v.strictObject({ protocol: v.string(), field: v.string() });
const rejectSchema = v.nullable(
  v.strictObject({ type: v.optional(v.string()), expr: v.optional(v.union([v.string(), v.number()])) }),
);
const prefixSchema = v.strictObject({ prefix: v.strictObject({ addr: v.string(), len: v.number() }) });
const placeSchema = v.union([v.number(), v.string()]);
const rangeSchema = v.strictObject({ range: v.strictTuple([placeSchema, placeSchema]) });
const anonymousSetSchema = v.strictObject({ set: v.unknown() });
const concatSchema = v.strictObject({ concat: v.array(objectSchema) });
/** An element with members of its own. A comment and counters change nothing. */
const elementSchema = v.strictObject({
  elem: v.strictObject({ val: v.unknown(), comment: v.optional(v.string()), counter: v.optional(v.unknown()) }),
});
const noteSchema = v.strictObject({ op: v.literal("update"), elem: v.unknown(), set: v.string() });

/** Fields whose values are places on a line, so that neighbours may be joined to ranges. */
const PLACES = /(?:dport|sport|saddr|daddr)$/u;

/** A comment in nft's language, which no plan has. */
export function notPlanned(object: unknown): string {
  return `# ${JSON.stringify(object)}`;
}

export function ruleText(expr: readonly Readonly<Record<string, unknown>>[]): string {
  return expr.flatMap((one) => statement(one)).join(" ");
}

function statement(object: Readonly<Record<string, unknown>>): readonly string[] {
  const [kind = "", ...more] = Object.keys(object);
  const content = object[kind];
  if (more.length > 0) return [notPlanned(object)];
  switch (kind) {
    case "accept":
    case "drop":
      return [kind];
    case "counter": // it counts and decides nothing
      return [];
    case "reject":
      return v.is(rejectSchema, content) ? [`reject with ${rejectionOf(content ?? {})}`] : [notPlanned(object)];
    case "match":
      return [v.is(matchSchema, content) ? matchText(content) : notPlanned(object)];
    case "set":
      return [v.is(noteSchema, content) ? noteText(content) : notPlanned(object)];
    default:
      return [notPlanned(object)];
  }
}

function matchText({ op, left: side, right }: v.InferOutput<typeof matchSchema>): string {
  const left = leftSide(side);
  if (left === undefined) return notPlanned({ op, left: side, right });
  const isQuoted = left === "iifname" || left === "oifname";
  return `${left} ${op === "!=" ? "!= " : ""}${valueText(right, left, isQuoted)}`;
}

/** A rule that notes who sent the packet. */
function noteText({ elem, set }: v.InferOutput<typeof noteSchema>): string {
  const element = bare(elem);
  const key = typeof element === "object" && element !== null ? leftSide({ ...element }) : undefined;
  return key === undefined ? notPlanned({ elem, set }) : `update ${set} { ${key} }`;
}

function leftSide(left: Readonly<Record<string, unknown>>): string | undefined {
  if (v.is(concatSchema, left)) {
    const parts = left.concat.map((part) => leftSide(part));
    return parts.every((part) => part !== undefined) && parts.length > 1 ? parts.join(" . ") : undefined;
  }
  const [kind = "", ...more] = Object.keys(left);
  const content = left[kind];
  if (more.length > 0) return undefined;
  if (kind === "meta" && v.is(metaSchema, content))
    return content.key === "iifname" || content.key === "oifname" ? content.key : `meta ${content.key}`;
  if (kind === "ct" && v.is(metaSchema, content)) return `ct ${content.key}`;
  return kind === "payload" && v.is(payloadSchema, content) ? `${content.protocol} ${content.field}` : undefined;
}

/** libnftables-json(5): where a list has one entry, the entry alone may stand for it. */
function valueText(right: unknown, left: string, isQuoted: boolean): string {
  const one = bare(right);
  if (Array.isArray(one) && one.length === 1) return valueText(one[0], left, isQuoted);
  if (!v.is(anonymousSetSchema, one)) return elementText(one, left, isQuoted);
  const elements = elementTexts([one.set].flat(), left, isQuoted);
  const [only, ...more] = elements;
  return only !== undefined && more.length === 0 ? only : `{ ${elements.join(", ")} }`;
}

/**
 * Sorted as text, because the kernel keeps the elements in an order of its own.
 * @param left what the elements are compared with, such as `tcp dport`.
 */
export function elementTexts(elements: readonly unknown[], left: string, isQuoted = false): readonly string[] {
  const texts = elements.map((element) => elementText(bare(element), left, isQuoted));
  return PLACES.test(left) ? mergeIntervals(texts) : [...new Set(texts)].sort();
}

function elementText(element: unknown, left: string, isQuoted: boolean): string {
  const text = plainText(element);
  if (text === undefined) return notPlanned(element);
  if (isQuoted) return typeof element === "string" && !element.includes('"') ? `"${text}"` : notPlanned(element);
  return PLACES.test(left) ? mergeIntervals([text]).join() : nameOf(left, text);
}

function plainText(element: unknown): string | undefined {
  if (typeof element === "number") return String(element);
  if (typeof element === "string") return element;
  if (v.is(prefixSchema, element)) return `${element.prefix.addr}/${element.prefix.len}`;
  return v.is(rangeSchema, element) ? element.range.join("-") : undefined;
}

/** An element object that says no more than its value. */
function bare(element: unknown): unknown {
  return v.is(elementSchema, element) ? element.elem.val : element;
}
