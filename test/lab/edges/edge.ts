// An edge: a place where a program reads what somebody else wrote. The worst inputs of the
// permitted size are generated here, the same for every edge that reads JSON. [STA-10] [STA-12]
import * as v from "valibot";
import { Fault } from "../../../hal/fault.ts";

/** What an edge made of an input. */
export type Outcome = unknown;

export interface Edge {
  /** The bound of the edge, bytes. */
  readonly bytesMax: number;
  /** The edge itself: the function that the program calls with these bytes. */
  readonly take: (input: Uint8Array) => Outcome;
  /** An input that is accepted, as large and as full as the edge permits, or nearly so. */
  readonly valid: () => Uint8Array;
  /** Inputs that are refused, each at the bound, by what is wrong with them. */
  readonly worst: ReadonlyMap<string, () => Uint8Array>;
  /**
   * True where whoever calls `take` has bounded the input. Everywhere else `take` itself refuses a
   * byte more than `bytesMax`.
   */
  readonly boundedBefore?: true;
  /** Characters of the input that a message may quote, where an authority's own words are shown. */
  readonly quotedMax?: number;
}

/** The text around a hostile value: `{"v":1,"body":` and `}`. */
export type Around = readonly [before: string, after: string];

/**
 * The ways to fill `bytes` with JSON. Those that end in "bounded" stay just below the bounds on
 * values and objects of an input of `bytesMax` bytes, so that they get past the first pass.
 */
const FILLS: Readonly<Record<string, (bytes: number, bytesMax: number) => string>> = {
  numbers: (bytes) => `[${filled("1", bytes - 2)}]`,
  "empty lists": (bytes) => `[${filled("[]", bytes - 2)}]`,
  "empty objects": (bytes) => `[${filled("{}", bytes - 2)}]`,
  "numbers, bounded": (bytes, bytesMax) => `[${filled("1", Math.min(bytes - 2, Math.floor(bytesMax / 12) - 100))}]`,
  "objects of one member each, bounded": (bytes, bytesMax) =>
    objects(bytes, Math.floor(bytesMax / 64) - 20, (n) => `k${n.toString(36)}`),
  "objects with numbers as names, bounded": (bytes, bytesMax) =>
    objects(bytes, Math.floor(bytesMax / 64) - 20, (n) => `${1000 + (n % 24)}`),
  "members without a meaning": (bytes) => members(bytes, Number.POSITIVE_INFINITY),
  "members without a meaning, bounded": (bytes, bytesMax) => members(bytes, Math.floor(bytesMax / 28) - 100),
  "huge numbers, bounded": (bytes, bytesMax) =>
    `[${filled("1e400", Math.min(bytes - 2, 6 * (Math.floor(bytesMax / 12) - 100)))}]`,
  "lists of one number each, bounded": (bytes, bytesMax) =>
    `[${filled("[1]", Math.min(bytes - 2, 4 * (Math.floor(bytesMax / 24) - 100)))}]`,
  "short texts, bounded": (bytes, bytesMax) => `[${filled('"a"', Math.min(bytes - 2, 4 * (Math.floor(bytesMax / 12) - 100)))}]`,
  "names that every object inherits, bounded": (bytes, bytesMax) =>
    objects(bytes, Math.floor(bytesMax / 64) - 20, (n) => INHERITED[n % INHERITED.length] ?? ""),
  "one member over and over": (bytes) => `{${filled('"a":1', bytes - 2)}}`,
  "one member over and over, bounded": (bytes, bytesMax) =>
    `{${filled('"a":1', Math.min(bytes - 2, 6 * (Math.floor(bytesMax / 28) - 100)))}}`,
  "one number of many digits": (bytes) => "1".repeat(bytes),
  depth: (bytes) => "[".repeat(bytes),
  "depth of objects": (bytes) => '{"a":'.repeat(Math.floor(bytes / 5)),
  "one text": (bytes) => `"${"a".repeat(bytes - 2)}"`,
  "one text of controls": (bytes) => `"${"\\u0001".repeat(Math.floor((bytes - 2) / 6))}"`,
  "one text of lone surrogates": (bytes) => `"${"\\ud800".repeat(Math.floor((bytes - 2) / 6))}"`,
  "one text that never ends": (bytes) => `"${"\\\\".repeat(Math.floor((bytes - 2) / 2))}`,
  "one long name": (bytes) => `{"${"a".repeat(bytes - 6)}":1}`,
  "white space": (bytes) => " ".repeat(bytes),
  "line ends": (bytes) => "\n".repeat(bytes),
  "NUL bytes": (bytes) => "\0".repeat(bytes),
  "byte order marks": (bytes) => "\uFEFF".repeat(Math.floor(bytes / 3)),
};
const INHERITED = ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf"];

/** What differs by its place; the first place gets every fill. */
const FILLS_OF_MEMBERS: Readonly<Record<string, true>> = {
  "numbers, bounded": true,
  "objects of one member each, bounded": true,
  "members without a meaning, bounded": true,
  "one text": true,
  "huge numbers, bounded": true,
  "one text of lone surrogates": true,
  "names that every object inherits, bounded": true,
};

/** @returns inputs of `bytesMax` bytes, or nearly as many, one for each fill and place. */
export function hostileJson(bytesMax: number, places: Readonly<Record<string, Around>>): ReadonlyMap<string, () => Uint8Array> {
  const inputs = new Map<string, () => Uint8Array>();
  for (const [at, [place, [before, after]]] of Object.entries(places).entries())
    for (const [what, fill] of Object.entries(FILLS).filter(([name]) => at === 0 || name in FILLS_OF_MEMBERS))
      inputs.set(`${what}: ${place}`, () => {
        const bytes = bytesMax - Buffer.byteLength(before) - Buffer.byteLength(after);
        return Buffer.from(before + fill(bytes, bytesMax) + after);
      });
  return inputs;
}

/** An edge that reads one JSON text, with each of its members as a place for hostile values. */
export function jsonEdge(bytesMax: number, valid: Readonly<Record<string, unknown>>, take: Edge["take"]): Edge {
  return {
    bytesMax,
    take,
    valid: () => padded(JSON.stringify(valid), bytesMax),
    worst: hostileJson(bytesMax, membersOf(Object.keys(valid), smallOf(valid))),
  };
}

/** So that the hostile member has the room. */
export function smallOf(members: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => JSON.stringify(value).length < 512));
}

/** For a function that ignores what it cannot use: here that counts as a refusal. */
export function notIgnored<T>(value: T | undefined): T {
  if (value === undefined) throw new Fault("schema.invalid", "it is ignored");
  return value;
}

export function membersIn(json: Uint8Array | string): Readonly<Record<string, unknown>> {
  return v.parse(v.looseObject({}), JSON.parse(Buffer.from(json).toString()));
}

/** The whole input, and each member of an object that is otherwise `rest`. */
export function membersOf(names: readonly string[], rest: object = {}): Readonly<Record<string, Around>> {
  const places: Record<string, Around> = { "the whole": ["", ""] };
  for (const name of names) places[name] = memberOf(name, rest);
  return places;
}

export function memberOf(name: string, rest: object): Around {
  const others = Object.entries(rest).filter(([key]) => key !== name);
  const before = others.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)},`).join("");
  return [`{${before}${JSON.stringify(name)}:`, "}"];
}

/** `inner` within `outer`. */
export function within([before, after]: Around, [innerBefore, innerAfter]: Around): Around {
  return [before + innerBefore, innerAfter + after];
}

/** White space behind a JSON text, up to the bound. */
export function padded(text: string, bytesMax: number): Uint8Array {
  return Buffer.from(text + " ".repeat(Math.max(0, bytesMax - Buffer.byteLength(text))));
}

/** `fill` over and over, `bytesMax` bytes in all. */
export function text(fill: string, bytesMax: number): () => Uint8Array {
  return () => Buffer.from(fill.repeat(Math.ceil(bytesMax / Buffer.byteLength(fill)))).subarray(0, bytesMax);
}

function filled(item: string, bytes: number): string {
  return `${`${item},`.repeat(Math.max(0, Math.floor((bytes - item.length) / (item.length + 1))))}${item}`;
}

function objects(bytes: number, countMax: number, name: (n: number) => string): string {
  return `[${list(bytes - 2, countMax, (n) => `{"${name(n)}":1}`)}]`;
}

function members(bytes: number, countMax: number): string {
  return `{${list(bytes - 2, countMax, (n) => `"k${n.toString(36)}":1`)}}`;
}

function list(bytes: number, countMax: number, item: (n: number) => string): string {
  const items: string[] = [];
  let left = bytes;
  for (let n = 0; n < countMax; n += 1) {
    const text = item(n);
    left -= text.length + 1;
    if (left < 0) break;
    items.push(text);
  }
  return items.join(",");
}
