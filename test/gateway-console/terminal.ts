// The user's terminal: what is typed, line by line as a shell gives it or each key as it is pressed, and as it was before whatever happens.
import type { ReadStream } from "node:tty";

export interface Keyboard {
  /** Somebody can be asked, and sees what the gateway says as it says it. */
  readonly interactive: boolean;
  /** Lines, echoed by the terminal; what is typed goes to `take` from now on. */
  lines(take: (line: string) => void): void;
  /** Each key by itself, Ctrl-C too, echoed by nobody. */
  keys(take: (bytes: Buffer) => void): void;
  /** As it was found. Calling it twice does no harm. */
  restore(): void;
}

/** @param gone called when nothing more can be typed: the terminal was closed, or a pipe ended. */
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
