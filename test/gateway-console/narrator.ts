// What we say ourselves, beside what the gateway's serial line says: as progress before the console is the user's, then between its lines.

export interface Teller {
  /** Begins to count anew. */
  restart(): void;
  /** Something was reached, after so many seconds. */
  readonly step: (text: string) => void;
  /** What is waited for, with a clock that runs where the output is a terminal; undefined ends it. */
  waiting(text: string | undefined): void;
  /** As it is, on lines of its own. */
  plain(text: string): void;
  /** A question; its answer is typed behind it. */
  ask(text: string): void;
  /** Nothing more is told: what ends now would tell of its end. */
  mute(): void;
  /** From the serial line, as the terminal may show it. @param unfinished the line it leaves the cursor in. */
  serial(text: string, unfinished: string): void;
}

export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
}

const TICK_MS = 1000;
const ERASE_LINE = "\r\u001B[K";

export function createTeller(output: Output, nowMs: () => number = () => performance.now()): Teller {
  const terminal = output.isTTY === true;
  const lineEnd = terminal ? "\r\n" : "\n"; // keys are taken raw: a newline alone would go on below
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
  /** Below what stands there, which is written again afterwards. */
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
