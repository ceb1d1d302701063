// The kernel's line, cut into lines as they end.
import { screen } from "./screen.ts";

const LINE_CHARACTERS_MAX = 2000;

/** @returns what takes the bytes and gives back the lines that have ended, without escape sequences and empty lines. */
export function lineReader(): (bytes: Buffer) => readonly string[] {
  const { show } = screen();
  let rest = "";
  return (bytes) => {
    const [...lines] = (rest + show(bytes)).replaceAll(/[\r\u0007]/gu, "").split("\n");
    rest = (lines.pop() ?? "").slice(0, LINE_CHARACTERS_MAX);
    return lines.filter((line) => line.trim() !== "").map((line) => line.slice(0, LINE_CHARACTERS_MAX));
  };
}
