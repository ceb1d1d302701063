// The canonical text of a named set: one of fixed elements, or one that a rule fills and that
// empties itself, whose content is no part of the table. [LCK-60] [LCK-61] [LCK-63]
import * as v from "valibot";
import { check } from "../../format/schema.ts";
import { elementTexts, notPlanned } from "./rule-text.ts";

const setSchema = v.object({
  name: v.string(),
  type: v.unknown(),
  flags: v.optional(v.unknown(), []),
  elem: v.optional(v.unknown(), []),
  size: v.optional(v.unknown()),
  timeout: v.optional(v.unknown()),
  /** What a set does with each element beside holding it. */
  stmt: v.optional(v.unknown()),
  map: v.optional(v.unknown()),
});
type NamedSet = v.InferOutput<typeof setSchema>;

/** An element that a rule has added and that ends with the set's own timeout. */
const passingSchema = v.strictObject({ elem: v.strictObject({ val: v.unknown(), expires: v.number() }) });

/** The field that elements of a type are compared with. */
const FIELDS: Readonly<Record<string, string>> = { ipv4_addr: "ip saddr", ipv6_addr: "ip6 saddr", inet_service: "th dport" };

/** @throws Fault `firewall.unreadable`. */
export function setLines(object: unknown): readonly string[] {
  const set = check(setSchema, object, "the firewall's listing", "firewall.unreadable");
  const { name, flags, stmt, map } = set;
  const type = [set.type].flat().join(" . ");
  const listed = [flags].flat();
  const strange = stmt === undefined && map === undefined ? [] : [`\t${notPlanned({ stmt, map })}`];
  return [
    `set ${name} {`,
    `\ttype ${type}`,
    ...(listed.includes("timeout") ? fillingLines(set) : fixedLines(set, type)),
    ...strange,
    "}",
  ];
}

/** How many elements a fixed set may hold, and how it stores them, is no part of what it means. */
function fixedLines({ flags, elem, timeout }: NamedSet, type: string): readonly string[] {
  const listed = [flags].flat();
  const flag = listed.length === 1 && listed[0] === "interval" ? "flags interval" : notPlanned({ flags });
  const elements = elementTexts([elem].flat(), FIELDS[type] ?? type);
  return [
    `\t${flag}`,
    ...(timeout === undefined ? [] : [`\t${notPlanned({ timeout })}`]),
    ...(elements.length === 0 ? [] : [`\telements = { ${elements.join(", ")} }`]),
  ];
}

/**
 * nft 1.0 does not list the flag "dynamic". A rule can fill no set without it, so a set that has it
 * and one for which it is not listed mean the same. An element that stays, or stays for longer than
 * the set says, was put there by somebody else.
 */
function fillingLines({ flags, elem, size, timeout }: NamedSet): readonly string[] {
  const others = [flags].flat().filter((flag) => flag !== "timeout" && flag !== "dynamic");
  const strangers = [elem].flat().filter((one) => !isPassing(one, timeout));
  return [
    ...(typeof size === "number" ? [`\tsize ${size}`] : [`\t${notPlanned({ size })}`]),
    others.length === 0 ? "\tflags dynamic,timeout" : `\t${notPlanned({ flags })}`,
    ...(typeof timeout === "number" ? [`\ttimeout ${timeout}s`] : [`\t${notPlanned({ timeout })}`]),
    ...(strangers.length === 0 ? [] : [`\t${notPlanned({ elem: strangers })}`]),
  ];
}

function isPassing(element: unknown, timeout: unknown): boolean {
  return v.is(passingSchema, element) && typeof timeout === "number" && element.elem.expires <= timeout;
}
