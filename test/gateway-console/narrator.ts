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
  return new TerminalNarrator(output, nowMs);
}

class TerminalNarrator implements Narrator {
  readonly #output: Output;
  readonly #nowMs: () => number;
  readonly #isTerminal: boolean;
  /** The terminal is raw: a newline alone would not return to the first column. */
  readonly #lineEnd: string;
  readonly #hasColours: boolean;
  #beganMs: number;
  #awaited: string | undefined;
  #ticking: NodeJS.Timeout | undefined;
  #unfinished = "";
  #isMute = false;

  constructor(output: Output, nowMs: () => number) {
    this.#output = output;
    this.#nowMs = nowMs;
    this.#isTerminal = output.isTTY === true;
    this.#lineEnd = this.#isTerminal ? "\r\n" : "\n";
    this.#hasColours = this.#isTerminal && process.env["NO_COLOR"] === undefined;
    this.#beganMs = nowMs();
  }

  restart(): void {
    this.#beganMs = this.#nowMs();
  }

  readonly step = (text: string): void => this.plain(`${this.#paint("36", this.#elapsed())}  ${text}`);

  waiting(text: string | undefined): void {
    if (this.#isTerminal && this.#awaited !== undefined) this.#write(ERASE_LINE);
    this.#awaited = text;
    clearInterval(this.#ticking);
    this.#ticking = text === undefined ? undefined : setInterval(() => this.#drawWait(), TICK_MS);
    this.#drawWait();
  }

  plain(text: string): void {
    this.#write(`${this.#lineBreak()}${text.replaceAll("\n", this.#lineEnd)}${this.#lineEnd}`);
    if (this.#awaited === undefined) this.#write(this.#unfinished);
    this.#drawWait();
  }

  ask(text: string): void {
    this.#write(text);
  }

  mute(): void {
    this.#isMute = true;
  }

  serial(text: string, unfinished: string): void {
    this.#write(this.#isTerminal ? text : text.replaceAll("\r", ""));
    this.#unfinished = unfinished;
  }

  #write(text: string): void {
    if (!this.#isMute && text !== "") this.#output.write(text);
  }

  /** @returns what leaves the line in which the cursor is. */
  #lineBreak(): string {
    if (this.#awaited !== undefined && this.#isTerminal) return ERASE_LINE;
    return this.#unfinished === "" ? "" : this.#lineEnd;
  }

  #drawWait(): void {
    if (!this.#isTerminal || this.#awaited === undefined) return;
    this.#write(`${ERASE_LINE}${this.#paint("2", `${this.#elapsed()}  ... ${this.#awaited}`)}`);
  }

  #elapsed(): string {
    return `${Math.floor((this.#nowMs() - this.#beganMs) / 1000)} s`.padStart(6);
  }

  #paint(how: string, text: string): string {
    return this.#hasColours ? `\u001B[${how}m${text}\u001B[0m` : text;
  }
}
