// The user's terminal: input by lines or by keys, and the terminal's mode restored however the
// program ends.
import type { ReadStream } from "node:tty";

export interface Keyboard {
  /** A user can be asked, and sees the gateway's output as it comes. */
  readonly interactive: boolean;
  /** Input goes to `take` by lines from now on; the terminal echoes it. */
  lines(take: (line: string) => void): void;
  /** Input goes to `take` by keys from now on, Ctrl-C too; nothing echoes it. */
  keys(take: (bytes: Buffer) => void): void;
  /** Restores the terminal's mode. Calling it twice does no harm. */
  restore(): void;
}

/** @param gone called when no more input can come: the terminal was closed, or a pipe ended. */
export function openKeyboard(stdin: ReadStream, interactive: boolean, gone: () => void): Keyboard {
  let take: (bytes: Buffer) => void = () => undefined;
  let started = false;
  const start = (next: (bytes: Buffer) => void): void => {
    take = next;
    if (started) return;
    started = true;
    stdin.on("data", (bytes: Buffer) => take(bytes));
    stdin.on("error", gone); // EIO: the terminal is gone
    stdin.on("end", gone);
  };
  const restore = (): void => {
    if (stdin.isTTY && stdin.isRaw) stdin.setRawMode(false);
    stdin.pause();
  };
  process.on("exit", restore);
  return {
    interactive,
    lines(takeLine) {
      start((bytes) => {
        for (const line of bytes.toString("utf8").replace(/\n$/u, "").split("\n")) takeLine(line);
      });
    },
    keys(takeBytes) {
      if (stdin.isTTY) stdin.setRawMode(true);
      start(takeBytes);
    },
    restore,
  };
}
