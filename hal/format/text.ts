// Text from outside, made fit for records and screens: one rule for its length, one for what a
// terminal may receive, one for quoting.

/**
 * Code points that move the cursor, end a line or hide text: controls (C0, DEL, C1), format
 * characters (zero-width, bidirectional, tags; Unicode TR 36), line and paragraph separators,
 * private use and unassigned ones, and what shows nothing by itself: variation selectors, fillers
 * and joiners (Default_Ignorable_Code_Point, UAX 44), and the blank Braille pattern. The zero-width
 * joiner is among them: it can hide a difference between two names, so an emoji that is joined from
 * several reads as its parts with `?` between them. That loss is accepted, because these texts are
 * evidence and not decoration.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{DI}\u2800]/gu;

/**
 * Whether a message may quote the input. `withheld` is for files that another user may have put
 * there: a message names the file, but repeats nothing of its content. [STA-11]
 */
export type Quoting = "quoted" | "withheld";

/**
 * The beginning of `text`, at most `unitsMax` UTF-16 code units. It never ends in the middle of a
 * surrogate pair, and lone surrogates become U+FFFD: the result is well-formed Unicode, so that it
 * can be written as canonical JSON (RFC 8785).
 */
export function clip(text: string, unitsMax: number): string {
  if (text.length <= unitsMax) return text.toWellFormed();
  const end = isHighSurrogate(text.charCodeAt(unitsMax - 1)) ? unitsMax - 1 : unitsMax;
  return text.slice(0, end).toWellFormed();
}

/**
 * `text` clipped to `unitsMax`, with each code point that a terminal or a log viewer could act on
 * replaced by `?`.
 */
export function printable(text: string, unitsMax: number): string {
  return clip(text, unitsMax).replace(UNPRINTABLE, "?");
}

/**
 * Text of several lines for a terminal: as {@link printable}, with its line feeds and its length
 * left as they are. The command lines pass all their output through it, so that a text from outside
 * which was printed as it came steers no terminal.
 */
export function terminalText(text: string): string {
  return text.toWellFormed().replace(UNPRINTABLE, (character) => (character === "\n" ? character : "?"));
}

/**
 * JSON that steers no terminal, and that parses to the same value: what {@link printable} replaces
 * is written as `\uXXXX`. JSON.stringify escapes C0 controls and lone surrogates only.
 */
export function printableJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replace(UNPRINTABLE, (character) =>
    character === "\n" ? character : escaped(character),
  );
}

function escaped(character: string): string {
  return Array.from({ length: character.length }, (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`).join(
    "",
  );
}

/**
 * `text` as one printable line: every run of white space and controls becomes one space, the ends
 * are trimmed, and the result is clipped to `unitsMax`.
 */
export function singleLine(text: string, unitsMax: number): string {
  return printable(text.replaceAll(/[\s\p{Cc}]+/gu, " ").trim(), unitsMax);
}

/**
 * An input as a message quotes it: printable, at most `unitsMax` code units between double quotes,
 * with `...` at the end when the input was longer. A double quote in it becomes a single one.
 */
export function quoted(text: string, unitsMax = 64): string {
  const shown = printable(text, unitsMax).replaceAll('"', "'");
  return text.length > unitsMax ? `"${shown}..."` : `"${shown}"`;
}

/** Longer than what node:util says about an argument of 64 characters, which it quotes twice. */
const ARGUMENT_ERROR_UNITS_MAX = 288;
const ARGUMENT_ERROR_UNITS = 80;

/**
 * [STA-33] What `parseArgs` of node:util says about a command line. It quotes a wrong argument
 * whole, and an argument may have 128 KiB.
 */
export function argumentErrorText(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.length > ARGUMENT_ERROR_UNITS_MAX ? `${printable(text, ARGUMENT_ERROR_UNITS)}...` : text;
}

/**
 * The beginning of `text`, at most `bytesMax` bytes of UTF-8, cut between two characters, with
 * `...` at its end when something was cut. Well-formed like {@link clip}.
 */
export function clipBytes(text: string, bytesMax: number): string {
  const start = clip(text, bytesMax);
  if (start.length === text.length && Buffer.byteLength(start) <= bytesMax) return start;
  const bytes = Buffer.from(start);
  let end = Math.min(bytes.byteLength, bytesMax - 3);
  while (end > 0 && isContinuation(bytes[end])) end -= 1;
  return `${bytes.toString("utf8", 0, end)}...`;
}

/** RFC 3629 section 3: every byte of a character but its first is 10xxxxxx. */
function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
