// Text wrapped for the demo's output: by words, to a terminal of 100 columns.

/** The widest line that the demo prints. */
export const COLUMNS = 100;

/**
 * Breaks each line of `text` at spaces so that it fits `columns`. A continued line keeps the
 * indentation of its first line. A word longer than a line, such as a hash with its path, is cut.
 */
export function wrap(text: string, columns: number): readonly string[] {
  return text.split("\n").flatMap((line) => wrapLine(line, columns));
}

function wrapLine(line: string, columns: number): readonly string[] {
  if (line.length <= columns) return [line];
  const indent = (/^ */u.exec(line)?.[0] ?? "").slice(0, Math.floor(columns / 2));
  const rows: string[] = [];
  let row = "";
  for (const word of line
    .trim()
    .split(/ +/u)
    .flatMap((long) => pieces(long, columns - indent.length))) {
    const next = row === "" ? `${indent}${word}` : `${row} ${word}`;
    if (next.length > columns) {
      rows.push(row);
      row = `${indent}${word}`;
    } else row = next;
  }
  return [...rows, row];
}

function pieces(word: string, columns: number): readonly string[] {
  if (word.length <= columns) return [word];
  return [word.slice(0, columns), ...pieces(word.slice(columns), columns)];
}
