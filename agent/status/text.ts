// Text on its way to people and to the audit trail. What came from outside (names, fault messages, typed lines) may hold anything.

/** Everything but printable ASCII becomes "?": no escape sequence reaches a terminal or a log reader. [CON-1] */
export function plainText(text: string, charactersMax = Number.POSITIVE_INFINITY): string {
  const plain = text.slice(0, charactersMax + 1).replaceAll(/[^\x20-\x7e]/gu, "?");
  return plain.length <= charactersMax ? plain : `${plain.slice(0, Math.max(0, charactersMax - 2))}..`;
}

/** `line` in pieces of at most `columnsMax`, cut at blanks where there are any, each but the first indented. */
export function wrapped(line: string, columnsMax: number, indent: number): string[] {
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

/** JSON in one line of printable ASCII: the same value for a script, harmless on a terminal. [CON-1] */
export function plainJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
