// Text from outside made fit to show and to record: one rule for length, one for what a terminal may be sent, one for quoting.

/** Code points that move the cursor, end a line or hide text: C0, DEL, C1, zero-width and bidirectional controls (Unicode TR 36). */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;

/**
 * The beginning of `text`, at most `unitsMax` UTF-16 code units. Never ends in the middle of a character, and lone
 * surrogates become U+FFFD: the result is well-formed Unicode, so that it can be written as canonical JSON (RFC 8785).
 */
export function clip(text: string, unitsMax: number): string {
  if (text.length <= unitsMax) return text.toWellFormed();
  const end = isHighSurrogate(text.charCodeAt(unitsMax - 1)) ? unitsMax - 1 : unitsMax;
  return text.slice(0, end).toWellFormed();
}

/** `text` with each character that a terminal or a log viewer could act on replaced by `?`, clipped to `unitsMax`. */
export function printable(text: string, unitsMax: number): string {
  return clip(text, unitsMax).replace(UNPRINTABLE, "?");
}

/** An input as a message quotes it: printable, at most `unitsMax` code units between double quotes, `...` where it was longer. */
export function quoted(text: string, unitsMax = 64): string {
  const shown = printable(text, unitsMax).replaceAll('"', "'");
  return text.length > unitsMax ? `"${shown}..."` : `"${shown}"`;
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
