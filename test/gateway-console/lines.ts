// The second serial line, with the log of the kernel and of systemd, read by lines.
import { createScreen } from "./screen.ts";

const LINE_CHARACTERS_MAX = 2000;

/**
 * @returns a function that takes bytes and returns the lines that have ended, without escape
 * sequences and without empty lines.
 */
export function createLineReader(): (bytes: Buffer) => readonly string[] {
  const { show } = createScreen();
  let rest = "";
  return (bytes) => {
    const [...lines] = (rest + show(bytes)).replaceAll(/[\r\u0007]/gu, "").split("\n");
    rest = (lines.pop() ?? "").slice(0, LINE_CHARACTERS_MAX);
    return lines.filter((line) => line.trim() !== "").map((line) => line.slice(0, LINE_CHARACTERS_MAX));
  };
}
