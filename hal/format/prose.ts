// Text for people on a terminal: wrapped lines, and counts with the right noun.

/** Width of what command lines print, in columns. */
export const TEXT_COLUMNS_MAX = 100;

/**
 * Wraps each line of `text` at spaces. A continuation line gets the indentation of its line, and
 * `hanging` more. A word that is longer than a line stays whole.
 */
export function wrap(text: string, hanging = 0, columnsMax = TEXT_COLUMNS_MAX): string {
  return text
    .split("\n")
    .flatMap((line) => wrapLine(line, hanging, columnsMax))
    .join("\n");
}

function wrapLine(line: string, hanging: number, columnsMax: number): readonly string[] {
  if (line.length <= columnsMax) return [line];
  const indent = line.length - line.trimStart().length;
  const lines: string[] = [];
  let current = "";
  for (const word of line.trim().split(" ")) {
    const margin = " ".repeat(lines.length === 0 ? indent : indent + hanging);
    if (current === "") current = margin + word;
    else if (current.length + 1 + word.length <= columnsMax) current += ` ${word}`;
    else {
      lines.push(current);
      current = " ".repeat(indent + hanging) + word;
    }
  }
  return [...lines, current];
}

/** @returns `1 file`, `2 files`, `0 files`. */
export function counted(count: number, singular: string, plural = `${singular}s`): string {
  return `${count} ${count === 1 ? singular : plural}`;
}
