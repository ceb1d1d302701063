// Text on its way to people and to the audit trail. What came from outside (names, fault messages, typed lines) may hold anything.

/** Everything but printable ASCII becomes "?": no escape sequence reaches a terminal or a log reader. [CON-1] */
export function plainText(text: string, charactersMax = Number.POSITIVE_INFINITY): string {
  const plain = text.slice(0, charactersMax + 1).replaceAll(/[^\x20-\x7e]/gu, "?");
  return plain.length <= charactersMax ? plain : `${plain.slice(0, Math.max(0, charactersMax - 2))}..`;
}

/** JSON in one line of printable ASCII: the same value for a script, harmless on a terminal. [CON-1] */
export function plainJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
