// The canonical form of our table, made from the kernel's listing. Plans are written in the same
// form, so that equal text means an equal table. [LCK-5] Only the forms that a plan uses have a
// canonical form (libnftables-json(5)). Anything else is rendered so that no plan ever equals it.
import * as v from "valibot";
import { Fault } from "../../fault.ts";
import { parseJson } from "../../format/json.ts";
import { LISTING_BYTES_MAX } from "./limits.ts";
import { check } from "../../format/schema.ts";

/**
 * An object as it was parsed. A schema that copies it would make an array of a thousand places for
 * each member with a number as its name.
 */
const objectSchema = v.custom<Readonly<Record<string, unknown>>>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  "expected an object",
);
const listingSchema = v.object({ nftables: v.array(objectSchema) });
const setSchema = v.object({
  name: v.string(),
  type: v.string(),
  flags: v.optional(v.unknown()),
  elem: v.optional(v.unknown(), []),
});
const chainSchema = v.object({ name: v.string(), type: v.string(), hook: v.string(), prio: v.number(), policy: v.string() });
const ruleSchema = v.object({ chain: v.string(), expr: v.array(objectSchema) });
const matchSchema = v.object({ op: v.string(), left: objectSchema, right: v.unknown() });
const metaSchema = v.strictObject({ key: v.string() });
const payloadSchema = v.strictObject({ protocol: v.string(), field: v.string() });
const rejectSchema = v.strictObject({ type: v.string(), expr: v.optional(v.string()) });
const prefixSchema = v.strictObject({ prefix: v.strictObject({ addr: v.string(), len: v.number() }) });
const rangeSchema = v.strictObject({ range: v.strictTuple([v.number(), v.number()]) });
const anonymousSetSchema = v.strictObject({ set: v.array(v.unknown()) });

/** Objects that the kernel adds to its listing and no plan contains. */
const NOT_PLANNED = new Set(["metainfo", "table"]);

type Listing = v.InferOutput<typeof listingSchema>["nftables"];

/**
 * @param text the output of `nft -j list table inet sallyport`.
 * @throws Fault `firewall.unreadable` when it is not such a listing.
 */
export function readListing(text: string): Listing {
  return read(listingSchema, parse(text)).nftables;
}

/**
 * [LCK-25] The kernel gives each object a handle, which is never 0. An object that nft lists from
 * its cache, within the transaction that makes it, has none yet.
 */
export function isCommitted(listing: Listing): boolean {
  const objects = listing.filter((object) => !("metainfo" in object)).flatMap((object) => Object.values(object));
  return objects.length > 0 && objects.every((object) => hasHandle(object));
}

function hasHandle(object: unknown): boolean {
  if (typeof object !== "object" || object === null || !("handle" in object)) return false;
  return typeof object.handle === "number" && object.handle >= 1;
}

/** @throws Fault `firewall.unreadable` when it is not a listing of our table. */
export function canonicalTable(listing: Listing): string {
  const objects = listing.filter((object) => !Object.keys(object).some((key) => NOT_PLANNED.has(key)));
  const rules = Map.groupBy(
    objects.flatMap((object) => ("rule" in object ? [read(ruleSchema, object["rule"])] : [])),
    ({ chain }) => chain,
  );
  // nft 1.0 lists sets before chains, nft 1.1 after them
  const sets = objects
    .flatMap((object) => ("set" in object ? [renderSet(object["set"])] : []))
    .sort(([a = ""], [b = ""]) => (a < b ? -1 : 1));
  const blocks = objects.flatMap((object) => {
    if ("rule" in object || "set" in object) return [];
    return ["chain" in object ? renderChain(object["chain"], rules) : [notPlanned(object)]];
  });
  return `table inet sallyport {\n${[...sets, ...blocks].map((lines) => lines.map((line) => `\t${line}\n`).join("")).join("\n")}}\n`;
}

function renderSet(object: unknown): readonly string[] {
  const { name, type, flags, elem } = read(setSchema, object);
  // libnftables-json(5): where a list has one entry, the entry alone may stand for it
  const flag = JSON.stringify([flags].flat()) === '["interval"]' ? "flags interval" : `# flags ${JSON.stringify(flags)}`;
  const listed = [elem].flat();
  const elements = listed.length === 0 ? [] : [`\telements = { ${sorted(listed.map((one) => value(one)))} }`];
  return [`set ${name} {`, `\ttype ${type}`, `\t${flag}`, ...elements, "}"];
}

type Rule = v.InferOutput<typeof ruleSchema>;

function renderChain(object: unknown, rules: ReadonlyMap<string, readonly Rule[]>): readonly string[] {
  const { name, type, hook, prio, policy } = read(chainSchema, object);
  const priority = prio === 0 ? "filter" : String(prio);
  const own = (rules.get(name) ?? []).map(({ expr }) => `\t${expr.map((one) => statement(one)).join(" ")}`);
  return [`chain ${name} {`, `\ttype ${type} hook ${hook} priority ${priority}; policy ${policy};`, ...own, "}"];
}

function statement(object: Readonly<Record<string, unknown>>): string {
  if ("accept" in object) return "accept";
  if ("drop" in object) return "drop";
  if (v.is(rejectSchema, object["reject"]))
    return ["reject with", object["reject"].type, object["reject"].expr ?? []].flat().join(" ");
  const match = object["match"];
  if (!v.is(matchSchema, match)) return notPlanned(object);
  const left = leftSide(match.left);
  if (left === undefined || !["==", "!=", "in"].includes(match.op)) return notPlanned(object);
  const isQuoted = left === "iifname" || left === "oifname";
  return `${left} ${match.op === "!=" ? "!= " : ""}${value(match.right, isQuoted)}`;
}

function leftSide(left: Readonly<Record<string, unknown>>): string | undefined {
  if (v.is(metaSchema, left["meta"])) {
    const { key } = left["meta"];
    return key === "iifname" || key === "oifname" ? key : `meta ${key}`;
  }
  if (v.is(metaSchema, left["ct"])) return `ct ${left["ct"].key}`;
  return v.is(payloadSchema, left["payload"]) ? `${left["payload"].protocol} ${left["payload"].field}` : undefined;
}

function value(right: unknown, quoted = false): string {
  if (typeof right === "number") return String(right);
  if (typeof right === "string") return quoted ? `"${right}"` : right;
  if (v.is(prefixSchema, right)) return `${right.prefix.addr}/${right.prefix.len}`;
  if (v.is(rangeSchema, right)) return `${right.range[0]}-${right.range[1]}`;
  if (v.is(anonymousSetSchema, right)) return braces(right.set.map((one) => value(one, quoted)));
  return notPlanned(right);
}

function braces(elements: readonly string[]): string {
  const [only, ...more] = elements;
  return only !== undefined && more.length === 0 ? only : `{ ${sorted(elements)} }`;
}

/** Sorted as text, because the kernel keeps the elements in an order of its own. */
function sorted(elements: readonly string[]): string {
  return [...elements].sort().join(", ");
}

/** A comment in nft's language, which no plan has. */
function notPlanned(object: unknown): string {
  return `# ${JSON.stringify(object)}`;
}

function parse(listing: string): unknown {
  try {
    return parseJson(listing, LISTING_BYTES_MAX, "nft's listing");
  } catch (error) {
    if (error instanceof Fault) throw new Fault("firewall.unreadable", error.message, { cause: error });
    throw error;
  }
}

function read<const S extends v.GenericSchema>(schema: S, object: unknown): v.InferOutput<S> {
  return check(schema, object, "the firewall's listing", "firewall.unreadable");
}
