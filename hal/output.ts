// What a program writes to stdout and stderr, any of which may be lost: the reader of a pipe ends,
// a disk is full, nobody reads. A service goes on without its lines and counts them; a command ends
// with a code that tells. [OPS-32] [OPS-33]
import { counted } from "./format/prose.ts";

/**
 * The part of a Node stream that is used. Node waits for no reader of a pipe; what it cannot write
 * at once, it keeps.
 */
export interface OutputStream {
  /** What waits for its reader, in this process. */
  readonly writableLength: number;
  readonly isTTY?: boolean;
  write(text: string, done: (error?: Error | null) => void): boolean;
  on(event: "error", listener: () => void): unknown;
}

/** What may wait for a reader: some thousand lines. */
const UNREAD_UNITS_MAX = 262_144;
const UNREAD = "nobody read them";

/** @returns the line that stands for lines which were not written. */
export type LossNotice = (lines: number, reason: string) => string;

/**
 * The lines of a service. They never end the program, never wait and never fill its memory: a line
 * that cannot be written is counted, and the next one that can be is preceded by the count.
 */
export class ServiceLines {
  readonly #stream: OutputStream;
  readonly #notice: LossNotice;
  #lost = 0;
  #reason = "";

  constructor(stream: OutputStream, notice: LossNotice) {
    this.#stream = stream;
    this.#notice = notice;
    tolerateErrors(stream);
    if (stream.isTTY === true) neverWait(stream);
  }

  /** @param line without its end; it may have several lines. */
  write(line: string): void {
    if (this.#stream.writableLength > UNREAD_UNITS_MAX) this.#lose(1, UNREAD);
    else this.#send(line);
  }

  /** Writes `line`, or only the count of those before it. */
  #send(line?: string): void {
    const lost = this.#lost;
    // A full disk has taken a part of a line: the notice begins on the next one.
    const before = lost === 0 ? [] : [...(this.#reason === UNREAD ? [] : [""]), this.#notice(lost, this.#reason)];
    const lines = [...before, ...(line === undefined ? [] : [line])];
    this.#lost = 0;
    this.#stream.write(lines.map((each) => `${each}\n`).join(""), (error) => {
      if (error !== undefined && error !== null) this.#lose(lost + (line === undefined ? 0 : 1), error.message);
      // Somebody reads again, and nothing is written that would bring the count.
      else if (this.#lost > 0 && this.#stream.writableLength === 0) this.#send();
    });
  }

  #lose(lines: number, reason: string): void {
    if (lines === 0) return;
    this.#lost += lines;
    this.#reason = reason;
  }
}

/** The notice of a program whose lines are for people. */
export function lossNotice(name: string): LossNotice {
  return (lines, reason) => `${name}: ${counted(lines, "line")} before this one could not be written: ${reason}`;
}

/** The output of a command, whose end waits for its reader as that of any command does. */
export class CommandOutput {
  readonly #stream: OutputStream;
  #writing = Promise.resolve();
  #error: Error | undefined;

  constructor(stream: OutputStream) {
    this.#stream = stream;
    tolerateErrors(stream);
  }

  write(text: string): void {
    const written = new Promise<void>((resolve) => {
      this.#stream.write(text, (error) => {
        this.#error ??= error ?? undefined;
        resolve();
      });
    });
    this.#writing = this.#writing.then(() => written);
  }

  /** Resolves once all is with the reader, or lost. @returns why it was lost. */
  async written(): Promise<Error | undefined> {
    await this.#writing;
    return this.#error;
  }
}

/** Both outputs of a command. */
export interface CommandOutputs {
  readonly out: CommandOutput;
  readonly err: CommandOutput;
}

/**
 * Waits until a command's output is with its reader.
 * @param code of the command itself.
 * @returns the code to end with: 1 instead of 0 when the output was lost, which stderr says. A
 *   reader that ended before the output did has all that it wanted (EPIPE), as `head` does.
 */
export async function codeAtEnd(name: string, code: number, { out, err }: CommandOutputs): Promise<number> {
  const error = await out.written();
  if (error === undefined || isReaderGone(error)) return code;
  err.write(`${name}: file.write-failed: write the output: ${error.message}; what the command does was done\n`);
  await err.written();
  return code === 0 ? 1 : code;
}

/**
 * For what a person must have seen before a command goes on.
 * @returns why the person cannot have seen it, if so.
 */
export async function whyUnseen({ out, err }: CommandOutputs): Promise<Error | undefined> {
  return (await out.written()) ?? (await err.written());
}

function isReaderGone(error: Error): boolean {
  return "code" in error && error.code === "EPIPE";
}

/**
 * Node writes to a terminal synchronously, so one that is stopped (Ctrl-S), or whose connection has
 * died, would stop the service. Node has no public way to change that; where this one is missing,
 * all stays as it was.
 */
function neverWait(stream: object): void {
  const handle: unknown = Reflect.get(stream, "_handle");
  if (typeof handle !== "object" || handle === null) return;
  const setBlocking: unknown = Reflect.get(handle, "setBlocking");
  if (typeof setBlocking === "function") Reflect.apply(setBlocking, handle, [false]);
}

/** Without a listener Node ends the process, with a stack. */
function tolerateErrors(stream: OutputStream): void {
  stream.on("error", () => undefined);
}
