// Rows of a screen: a label, then text. Pure, ASCII. [CON-11]
import { serialText, wrapText } from "./serial-text.ts";

/** A terminal has 80 columns; text in the last one would wrap. */
export const SCREEN_COLUMNS_MAX = 79;

/** For "trouble ", the longest label. A key fingerprint of 71 columns then fills the line. */
const LABEL_COLUMNS = 8;

/** @param parts joined by commas; undefined and empty ones are left out. */
export function row(label: string, ...parts: readonly (string | undefined)[]): string {
  return label.padEnd(LABEL_COLUMNS) + parts.filter((part) => part !== undefined && part !== "").join(", ");
}

/**
 * A list with one label, or `none` if it is empty. At most `linesMax` lines; the rest is counted.
 */
export function list(label: string, lines: readonly string[], none: string, linesMax = Number.POSITIVE_INFINITY): string[] {
  if (lines.length === 0) return [row(label, none)];
  const shown = lines.length <= linesMax ? lines : [...lines.slice(0, linesMax - 1), `and ${lines.length - linesMax + 1} more`];
  return shown.map((line, index) => row(index === 0 ? label : "", line));
}

/** Rows as text, each with a newline. A long row continues below its own text. */
export function printed(rows: readonly string[]): string {
  const lines = rows.flatMap((line) => wrapText(serialText(line), SCREEN_COLUMNS_MAX, LABEL_COLUMNS));
  return lines.map((line) => `${line}\n`).join("");
}
