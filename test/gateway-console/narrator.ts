// This program's own lines on the terminal: progress until the console is the user's, and then
// lines between those of the gateway's serial line.

export interface Narrator {
  /** Sets the count of seconds to 0. */
  restart(): void;
  /** Prints what was reached, with the seconds since the count began. */
  readonly step: (text: string) => void;
  /**
   * Shows what is awaited, with a running clock when the output is a terminal. Undefined ends it.
   */
  waiting(text: string | undefined): void;
  /** Prints `text` on lines of its own. */
  plain(text: string): void;
  /** Prints a question; the answer is typed behind it. */
  ask(text: string): void;
  /** Prints nothing from now on: everything that ends now would report its end. */
  mute(): void;
  /**
   * Prints text of the serial line.
   * @param unfinished the line in which it leaves the cursor.
   */
  serial(text: string, unfinished: string): void;
}

export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
}

const TICK_MS = 1000;
const ERASE_LINE = "\r\u001B[K";

export function createNarrator(output: Output, nowMs: () => number = () => performance.now()): Narrator {
  const terminal = output.isTTY === true;
  // the terminal is raw: a newline alone would not return to the first column
  const lineEnd = terminal ? "\r\n" : "\n";
  const colour = terminal && process.env["NO_COLOR"] === undefined;
  const paint = (how: string, text: string): string => (colour ? `\u001B[${how}m${text}\u001B[0m` : text);
  let beganMs = nowMs();
  let awaited: string | undefined;
  let ticking: NodeJS.Timeout | undefined;
  let unfinished = "";
  let mute = false;

  const write = (text: string): void => {
    if (!mute) output.write(text);
  };

  const elapsed = (): string => `${Math.floor((nowMs() - beganMs) / 1000)} s`.padStart(6);
  const drawWait = (): void => {
    if (terminal && awaited !== undefined) write(`${ERASE_LINE}${paint("2", `${elapsed()}  ... ${awaited}`)}`);
  };
  /** Prints below the unfinished line, which is written again afterwards. */
  const between = (text: string): void => {
    const open = awaited !== undefined && terminal ? ERASE_LINE : unfinished === "" ? "" : lineEnd;
    write(`${open}${text.replaceAll("\n", lineEnd)}${lineEnd}${awaited === undefined ? unfinished : ""}`);
    drawWait();
  };
  return {
    restart() {
      beganMs = nowMs();
    },
    step: (text) => between(`${paint("36", elapsed())}  ${text}`),
    waiting(text) {
      if (terminal && awaited !== undefined) write(ERASE_LINE);
      awaited = text;
      clearInterval(ticking);
      ticking = text === undefined ? undefined : setInterval(drawWait, TICK_MS);
      drawWait();
    },
    plain: between,
    ask: write,
    mute() {
      mute = true;
    },
    serial(text, line) {
      write(terminal ? text : text.replaceAll("\r", ""));
      unfinished = line;
    },
  };
}
