// Regular expressions as data, and a matcher that counts its steps. It backtracks as V8's does, so
// that a pattern whose work grows faster than its input shows without a clock. [STA-31]
import { assert, Fault } from "../../../hal/fault.ts";
import { tokensOf } from "./comments.ts";

export type Pattern =
  | { readonly kind: "character"; readonly matches: (character: string) => boolean; readonly samples: readonly string[] }
  | { readonly kind: "sequence"; readonly items: readonly Pattern[] }
  | { readonly kind: "choice"; readonly options: readonly Pattern[] }
  | { readonly kind: "repeat"; readonly body: Pattern; readonly min: number; readonly max: number; readonly isLazy: boolean }
  | { readonly kind: "group"; readonly body: Pattern; readonly number: number | undefined }
  | { readonly kind: "look"; readonly body: Pattern; readonly isNegative: boolean; readonly isBehind: boolean }
  | { readonly kind: "reference"; readonly number: number }
  | { readonly kind: "start" | "end" | "boundary" };

/** What a sample of a class is chosen from. */
const UNIVERSE = "a0Z-_.:/+=,;*?!#%&'\"()[]{}|~^$@<>\\ \t\n\r\0\u0085\u00e9\u202e\ufffd19bfzAB".split("");
const NOT_IN_ANY = "\u0001";

/** @returns the literals of regular expressions in a source text. */
export function patternsIn(text: string): readonly RegExp[] {
  return tokensOf(text).flatMap((literal) => {
    const [first, second] = literal;
    if (first !== "/" || second === "/" || second === "*") return [];
    const end = literal.lastIndexOf("/");
    const flags = literal.slice(end + 1);
    // a path within a template has other letters behind its slash
    return /^[dgimsuvy]*$/u.test(flags) ? [new RegExp(literal.slice(1, end), flags)] : [];
  });
}

/** The usual recursive descent over the source of a pattern that V8 has accepted. */
class Reader {
  readonly #source: string;
  readonly #flags: string;
  #at = 0;
  #groups = 0;

  constructor({ source, flags }: RegExp) {
    this.#source = source;
    this.#flags = flags.replaceAll(/[gyd]/gu, "");
  }

  read(): Pattern {
    const pattern = this.#choice();
    assert(this.#at === this.#source.length, `the pattern ${this.#source} is read to its end`);
    return pattern;
  }

  #choice(): Pattern {
    const options = [this.#sequence()];
    while (this.#takes("|")) options.push(this.#sequence());
    const [only] = options;
    return only !== undefined && options.length === 1 ? only : { kind: "choice", options };
  }

  #sequence(): Pattern {
    const items: Pattern[] = [];
    while (this.#at < this.#source.length && !"|)".includes(this.#source[this.#at] ?? ""))
      items.push(this.#repeated(this.#atom()));
    return { kind: "sequence", items };
  }

  #repeated(body: Pattern): Pattern {
    const [whole, sign, min, comma, max] = /^(?:([*+?])|\{(\d+)(,)?(\d*)\})\??/u.exec(this.#source.slice(this.#at)) ?? [];
    if (whole === undefined) return body;
    this.#at += whole.length;
    const isLazy = whole.length > 1 && whole.endsWith("?");
    if (sign !== undefined) return { kind: "repeat", body, min: sign === "+" ? 1 : 0, max: sign === "?" ? 1 : Infinity, isLazy };
    const most = comma === undefined ? Number(min) : max === "" ? Infinity : Number(max);
    return { kind: "repeat", body, min: Number(min), max: most, isLazy };
  }

  #atom(): Pattern {
    const rest = this.#source.slice(this.#at);
    const [look, behind, negative] = /^\(\?(<)?([=!])/u.exec(rest) ?? [];
    if (look !== undefined) return { ...this.#inner(look), kind: "look", isNegative: negative === "!", isBehind: behind === "<" };
    const [open] = /^\((?:\?:|\?<\w+>)?/u.exec(rest) ?? [];
    if (open !== undefined) {
      const number = open === "(?:" ? undefined : (this.#groups += 1);
      return { ...this.#inner(open), kind: "group", number };
    }
    if (this.#takes("^")) return { kind: "start" };
    if (this.#takes("$")) return { kind: "end" };
    if (this.#takes("\\b")) return { kind: "boundary" };
    const [reference] = /^\\[1-9]/u.exec(rest) ?? [];
    if (reference !== undefined) {
      this.#at += reference.length;
      return { kind: "reference", number: Number(reference.slice(1)) };
    }
    return this.#character(rest);
  }

  #inner(open: string): { readonly body: Pattern } {
    this.#at += open.length;
    const body = this.#choice();
    assert(this.#takes(")"), `a group of ${this.#source} is closed`);
    return { body };
  }

  /** V8 itself says which characters one class, escape or literal matches. */
  #character(rest: string): Pattern {
    const [source = ""] =
      /^(?:\[(?:[^\]\\]|\\.)*\]|\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|u\{[0-9a-f]+\}|p\{[^}]*\}|P\{[^}]*\}|.)|[\s\S])/iu.exec(rest) ??
      [];
    this.#at += source.length;
    const single = new RegExp(`^(?:${source})$`, this.#flags.replaceAll("m", ""));
    const known = new Map<string, boolean>();
    const matches = (character: string): boolean => {
      const found = known.get(character) ?? single.test(character);
      known.set(character, found);
      return found;
    };
    const literal = source.length === 1 ? [source] : [];
    return { kind: "character", matches, samples: [...literal, ...UNIVERSE].filter((one) => matches(one)) };
  }

  #takes(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }
}

type Next = (at: number) => boolean;

const STEPS_MAX = 2_000_000;

class Matcher {
  readonly #text: string;
  readonly #isMultiline: boolean;
  readonly #groups: (string | undefined)[] = [];
  steps = 0;

  constructor(text: string, isMultiline: boolean) {
    this.#text = text;
    this.#isMultiline = isMultiline;
  }

  match(pattern: Pattern, at: number, next: Next): boolean {
    this.steps += 1;
    if (this.steps > STEPS_MAX) throw new Fault("process.timeout", "too many steps");
    switch (pattern.kind) {
      case "character":
        return at < this.#text.length && pattern.matches(this.#text[at] ?? "") && next(at + 1);
      case "sequence":
        return this.#sequence(pattern.items, 0, at, next);
      case "choice":
        return pattern.options.some((option) => this.match(option, at, next));
      case "repeat":
        return this.#repeat(pattern, 0, at, -1, next);
      case "group":
        return this.match(pattern.body, at, (end) => {
          const { number } = pattern;
          const before = number === undefined ? undefined : this.#groups[number];
          if (number !== undefined) this.#groups[number] = this.#text.slice(at, end);
          if (next(end)) return true;
          if (number !== undefined) this.#groups[number] = before;
          return false;
        });
      case "look":
        // only single characters are looked back at
        return this.match(pattern.body, pattern.isBehind ? at - 1 : at, () => true) !== pattern.isNegative && next(at);
      case "reference": {
        const group = this.#groups[pattern.number] ?? "";
        return this.#text.startsWith(group, at) && next(at + group.length);
      }
      case "start":
        return (at === 0 || (this.#isMultiline && this.#text[at - 1] === "\n")) && next(at);
      case "end":
        return (at === this.#text.length || (this.#isMultiline && this.#text[at] === "\n")) && next(at);
      case "boundary":
        return isWord(this.#text[at - 1]) !== isWord(this.#text[at]) && next(at);
    }
  }

  #sequence(items: readonly Pattern[], index: number, at: number, next: Next): boolean {
    const item = items[index];
    return item === undefined ? next(at) : this.match(item, at, (end) => this.#sequence(items, index + 1, end, next));
  }

  #repeat(pattern: Extract<Pattern, { kind: "repeat" }>, count: number, at: number, before: number, next: Next): boolean {
    const again = (): boolean =>
      count < pattern.max &&
      at !== before &&
      this.match(pattern.body, at, (end) => this.#repeat(pattern, count + 1, end, at, next));
    if (count < pattern.min) return again();
    return pattern.isLazy ? next(at) || again() : again() || next(at);
  }
}

function isWord(character: string | undefined): boolean {
  return character !== undefined && /\w/u.test(character);
}

/** Steps of a search for all matches, from every place of the text, as with the flag `g`. */
function stepsOf(pattern: Pattern, text: string, { multiline, sticky }: RegExp): number {
  const matcher = new Matcher(text, multiline);
  const isAnchored = pattern.kind === "sequence" && pattern.items[0]?.kind === "start" && !multiline;
  for (let at = 0; at <= text.length;) {
    let end = at;
    const found = matcher.match(pattern, at, (reached) => {
      end = reached;
      return true;
    });
    if (isAnchored || sticky) break;
    at = found ? Math.max(end, at + 1) : at + 1;
  }
  return matcher.steps;
}

/** The shortest text that a pattern matches, with the `choice`-th sample of each class. */
function sampleOf(pattern: Pattern, choice: number, isOnce = false): string {
  switch (pattern.kind) {
    case "character":
      return pattern.samples[choice % Math.max(1, pattern.samples.length)] ?? "";
    case "sequence":
      return pattern.items.map((item) => sampleOf(item, choice)).join("");
    case "choice":
      return sampleOf(pattern.options[choice % pattern.options.length] ?? { kind: "start" }, choice);
    case "repeat":
      return sampleOf(pattern.body, choice).repeat(Math.max(pattern.min, isOnce ? 1 : 0));
    case "group":
      return sampleOf(pattern.body, choice);
    default:
      return "";
  }
}

/** Each repetition without a narrow bound, with a text that leads to it. */
function repetitions(
  pattern: Pattern,
  before: string,
): readonly { readonly before: string; readonly pumped: readonly string[] }[] {
  switch (pattern.kind) {
    case "sequence":
      return pattern.items.flatMap((item, index) =>
        repetitions(
          item,
          before +
            pattern.items
              .slice(0, index)
              .map((each) => sampleOf(each, 0, true))
              .join(""),
        ),
      );
    case "choice":
      return pattern.options.flatMap((option) => repetitions(option, before));
    case "group":
    case "look":
      return repetitions(pattern.body, before);
    case "repeat": {
      const own = { before, pumped: [0, 1, 2].map((choice) => sampleOf(pattern.body, choice, true)) };
      return [...(pattern.max > NARROW ? [own] : []), ...repetitions(pattern.body, before)];
    }
    default:
      return [];
  }
}

/** A repetition of so few is a constant. */
const NARROW = 16;

function charactersOf(pattern: Pattern): readonly string[] {
  switch (pattern.kind) {
    case "character":
      return pattern.samples.slice(0, 3);
    case "sequence":
      return pattern.items.flatMap((item) => charactersOf(item));
    case "choice":
      return pattern.options.flatMap((option) => charactersOf(option));
    case "group":
    case "look":
    case "repeat":
      return charactersOf(pattern.body);
    default:
      return [];
  }
}

const SHORT = 150;
/** Twice the input: linear work doubles, quadratic work has four times the steps. */
const GROWTH_MAX = 3;

/**
 * @returns a text on which the pattern does more than linear work; undefined where none was found.
 */
export function superlinearText(expression: RegExp): string | undefined {
  const pattern = new Reader(expression).read();
  const characters = [...new Set(charactersOf(pattern))].slice(0, 12);
  const texts = new Set<string>();
  for (const { before, pumped } of [{ before: "", pumped: [] }, ...repetitions(pattern, "")])
    for (const pump of [...pumped, ...characters])
      for (const after of [NOT_IN_ANY, "\n!"]) {
        texts.add(JSON.stringify([before, pump, after]));
        texts.add(JSON.stringify(["", before + pump, after]));
      }
  for (const text of texts) {
    const [before = "", pump = "", after = ""] = textsOf(text);
    const made = (count: number): number => stepsOf(pattern, before + pump.repeat(count) + after, expression);
    const count = Math.max(8, Math.ceil(SHORT / Math.max(1, pump.length)));
    if (isSuperlinear(made, count)) return text;
  }
  return undefined;
}

function isSuperlinear(steps: (count: number) => number, count: number): boolean {
  try {
    return steps(2 * count) > GROWTH_MAX * steps(count);
  } catch (error) {
    if (error instanceof Fault && error.code === "process.timeout") return true;
    throw error;
  }
}

function textsOf(json: string): readonly string[] {
  const value: unknown = JSON.parse(json);
  return Array.isArray(value) ? value.map(String) : [];
}
