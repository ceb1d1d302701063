// A line of a screen: what it is about, then what there is to say. Pure, ASCII. [CON-1]
import { serialText, wrapText } from "./serial-text.ts";

/** One less than a terminal has: the last column would wrap. */
export const SCREEN_COLUMNS_MAX = 79;

const LABEL_COLUMNS = 8; // "trouble " is the longest; with 71 columns of key fingerprint beside it a line is full

/** Parts that are undefined or empty are left out. */
export function row(label: string, ...parts: readonly (string | undefined)[]): string {
  return label.padEnd(LABEL_COLUMNS) + parts.filter((part) => part !== undefined && part !== "").join(", ");
}

/** A list under one label; `none` where there is nothing. At most `linesMax` lines, what is more is counted. */
export function list(label: string, lines: readonly string[], none: string, linesMax = Number.POSITIVE_INFINITY): string[] {
  if (lines.length === 0) return [row(label, none)];
  const shown = lines.length <= linesMax ? lines : [...lines.slice(0, linesMax - 1), `and ${lines.length - linesMax + 1} more`];
  return shown.map((line, index) => row(index === 0 ? label : "", line));
}

/** Rows as text, each ended by a newline; what is too long for a line goes on below its label. */
export function printed(rows: readonly string[]): string {
  const lines = rows.flatMap((line) => wrapText(serialText(line), SCREEN_COLUMNS_MAX, LABEL_COLUMNS));
  return lines.map((line) => `${line}\n`).join("");
}
