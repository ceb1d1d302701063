// The comments of a source text by line, for the rule that people read at most 100 columns.

/** Comments, and what may look like one: strings, templates and regular expressions. */
const TOKEN =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|(?<=(?:[=(,:!&|?;[{]|return|=>)\s*)\/(?![/*])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/gu;

/** @returns comments, strings, templates and regular expressions, as they stand in the text. */
export function tokensOf(text: string): readonly string[] {
  return [...text.matchAll(TOKEN)].map(([token]) => token);
}

/** @returns the numbers of the lines, from 1, on which a comment stands or goes on. */
export function commentLines(text: string): ReadonlySet<number> {
  const lines = new Set<number>();
  for (const match of text.matchAll(TOKEN)) {
    if (!match[0].startsWith("//") && !match[0].startsWith("/*")) continue;
    const first = text.slice(0, match.index).split("\n").length;
    for (const [index] of match[0].split("\n").entries()) lines.add(first + index);
  }
  return lines;
}

/**
 * @returns the numbers of the lines of a Markdown text that are prose: no code block, no table (a
 *   row cannot be broken), no line that is one link.
 */
export function proseLines(text: string): readonly number[] {
  const found: number[] = [];
  let isCode = false;
  for (const [index, line] of text.split("\n").entries()) {
    if (/^\s*```/u.test(line)) isCode = !isCode;
    else if (!isCode && !/^\s*\|/u.test(line) && !/^\S*https?:\/\/\S+$/u.test(line.trim())) found.push(index + 1);
  }
  return found;
}
