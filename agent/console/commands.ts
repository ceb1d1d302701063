// The console's commands, as data: there is no shell, and no other way from here to the device than an operation. [CON-3] [OPS-5]
import type { OperationName } from "../operations/format.ts";

export interface Command {
  /** As typed, words parted by one space. */
  readonly words: string;
  readonly help: string;
  readonly does:
    | { readonly kind: "help" }
    | { readonly kind: "ask"; readonly operation: OperationName; readonly show: "text" | "json" };
}

/** Before login: a guest's. */
export const COMMANDS: readonly Command[] = [
  { words: "help", help: "this list", does: { kind: "help" } },
  { words: "status", help: "the state of this device", does: { kind: "ask", operation: "status", show: "text" } },
  { words: "status --json", help: "the same as one line of JSON", does: { kind: "ask", operation: "status", show: "json" } },
];

/** @returns the command a line names, "nothing" for an empty line, "unknown" for all else. Blanks around and between words do not count. */
export function commandOf(line: string): Command | "nothing" | "unknown" {
  const words = line.trim().replaceAll(/ +/gu, " ");
  if (words === "") return "nothing";
  return COMMANDS.find((command) => command.words === words) ?? "unknown";
}
