// Words for the system's journal.

/** @returns a function that writes one line an event to stderr; the journal adds the time. What came from outside is in it, so its control characters are not. */
export function journal(name: string): (line: string) => void {
  return (line) => void process.stderr.write(`${name}: ${line.replaceAll(/[\u0000-\u001f\u007f-\u009f]/gu, "?")}\n`);
}
