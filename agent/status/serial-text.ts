// The serial line's rule for text: printable ASCII only, since nobody knows what a terminal at the
// cable does with other bytes. The command line follows it too. Text for records and messages
// follows hal/format/text.ts instead. [CON-11]

/**
 * `text` as the serial line may get it: every other character becomes "?", so that no escape
 * sequence reaches a terminal. At most `charactersMax` characters; ".." at the end marks a cut.
 */
export function serialText(text: string, charactersMax = Number.POSITIVE_INFINITY): string {
  const ascii = text.slice(0, charactersMax + 1).replaceAll(/[^\x20-\x7e]/gu, "?");
  return ascii.length <= charactersMax ? ascii : `${ascii.slice(0, Math.max(0, charactersMax - 2))}..`;
}

/** JSON in one line of printable ASCII. Escapes keep the value the same for scripts. */
export function serialJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/**
 * `line` in pieces of at most `columnsMax`, cut at spaces where possible, each but the first
 * indented.
 */
export function wrapText(line: string, columnsMax: number, indent: number): string[] {
  const pieces: string[] = [];
  let rest = line;
  while (rest.length > columnsMax) {
    const blank = rest.lastIndexOf(" ", columnsMax);
    const at = blank > indent ? blank : columnsMax;
    pieces.push(rest.slice(0, at).trimEnd());
    rest = " ".repeat(indent) + rest.slice(at).trimStart();
  }
  return [...pieces, rest];
}
