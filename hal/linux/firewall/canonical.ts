// The canonical form of our table, made from the kernel's listing. Plans are written in the same
// form, so that equal text means an equal table. [LCK-5] One table has many listings: what
// libnftables-json(5) lets be written in two ways, and what differs from version to version, has
// one form here. [LCK-60] Only what a plan uses has a canonical form. Anything else is rendered so
// that no plan ever equals it. [LCK-61]
import * as v from "valibot";
import { Fault } from "../../fault.ts";
import { parseJson } from "../../format/json.ts";
import { LISTING_BYTES_MAX } from "./limits.ts";
import { check } from "../../format/schema.ts";
import { notPlanned, ruleText } from "./rule-text.ts";
import { priorityOf } from "./names.ts";
import { setLines } from "./set-text.ts";

/**
 * An object as it was parsed. A schema that copies it would make an array of a thousand places for
 * each member with a number as its name.
 */
const objectSchema = v.custom<Readonly<Record<string, unknown>>>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  "expected an object",
);
const listingSchema = v.object({ nftables: v.array(objectSchema) });
const placeSchema = v.object({ family: v.literal("inet"), table: v.literal("sallyport") });
const tableSchema = v.object({ family: v.literal("inet"), name: v.literal("sallyport"), flags: v.optional(v.unknown()) });
const chainSchema = v.object({
  name: v.string(),
  type: v.string(),
  hook: v.string(),
  prio: v.union([v.number(), v.string()]),
  policy: v.string(),
});
const ruleSchema = v.object({ chain: v.string(), expr: v.array(objectSchema) });

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
  const objects = listing.filter((object) => !("metainfo" in object));
  const rules = Map.groupBy(
    objects.flatMap((object) => ("rule" in object ? [read(ruleSchema, object["rule"])] : [])),
    ({ chain }) => chain,
  );
  // nft 1.0 lists sets before chains, nft 1.1 after them
  const sets = objects
    .flatMap((object) => ("set" in object ? [setLines(object["set"])] : []))
    .sort(([a = ""], [b = ""]) => (a < b ? -1 : 1));
  const blocks = objects.flatMap((object) => {
    const [kind = "", ...more] = Object.keys(object);
    const lines = kind === "chain" ? chainLines(object["chain"], rules) : [notPlanned(object)];
    if (more.length > 0 || !isOurs(object)) return [[notPlanned(object)]];
    return kind === "table" || kind === "rule" || kind === "set" ? [] : [lines];
  });
  return `table inet sallyport {\n${[...sets, ...blocks].map((lines) => lines.map((line) => `\t${line}\n`).join("")).join("\n")}}\n`;
}

/** A table with a flag is another table: a dormant one filters nothing (nft(8)). */
function isOurs(object: Readonly<Record<string, unknown>>): boolean {
  if (!("table" in object)) return Object.values(object).every((one) => v.is(placeSchema, one));
  return v.is(tableSchema, object["table"]) && object["table"].flags === undefined;
}

type Rule = v.InferOutput<typeof ruleSchema>;

function chainLines(object: unknown, rules: ReadonlyMap<string, readonly Rule[]>): readonly string[] {
  const { name, type, hook, prio, policy } = read(chainSchema, object);
  const own = (rules.get(name) ?? []).map(({ expr }) => `\t${ruleText(expr)}`);
  return [`chain ${name} {`, `\ttype ${type} hook ${hook} priority ${priorityOf(prio)}; policy ${policy};`, ...own, "}"];
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
