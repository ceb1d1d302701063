// The output of a serial line as text, and waits for a part of it. As in expect(1), each wait
// begins where the one before it ended.
import { StringDecoder } from "node:string_decoder";
import { Fault } from "../../../hal/fault.ts";

const TEXT_CHARACTERS_MAX = 1024 * 1024;
const TAIL_CHARACTERS = 1500;
/**
 * Colours and cursor movements, which firmware uses freely, and a sequence that has not arrived
 * completely.
 */
const ESCAPES = /\u001B(?:\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|[=>78DEHM])/gu;
const ESCAPE_BEGUN = /\u001B(?:\[[0-9;?=]*|[()])?$/u;

export interface Transcript {
  add(bytes: Buffer): void;
  /**
   * Adds a line of the test's between the machine's output, for instance that it was switched on.
   * What came before it is not waited for any more.
   */
  mark(words: string): void;
  /** @returns the output since the last read, wait or mark. */
  read(): string;
  /**
   * Resolves with the match, past (since the last wait) or future.
   * @throws Fault `process.timeout`, or the one that {@link Transcript.end} was given.
   */
  waitFor(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray>;
  /** No output comes until the next mark. Every wait rejects with `why`. */
  end(why: Fault): void;
  /** @returns the newest million characters. */
  all(): string;
}

interface Waiter {
  readonly check: () => void;
  readonly fail: (why: Fault) => void;
}

export function createTranscript(): Transcript {
  return new LineTranscript();
}

class LineTranscript implements Transcript {
  readonly #waiters = new Set<Waiter>();
  #decoder = new StringDecoder("utf8");
  /** The beginning of an escape sequence that has not arrived completely. */
  #begun = "";
  #text = "";
  /** Where the next wait begins in the text. */
  #from = 0;
  #ended: Fault | undefined;

  add(bytes: Buffer): void {
    const raw = this.#begun + this.#decoder.write(bytes);
    this.#begun = ESCAPE_BEGUN.exec(raw)?.[0] ?? "";
    this.#append(
      raw
        .slice(0, raw.length - this.#begun.length)
        .replace(ESCAPES, "")
        .replace(/\r/gu, ""),
    );
    for (const waiter of this.#waiters) waiter.check();
  }

  mark(words: string): void {
    this.#decoder = new StringDecoder("utf8");
    this.#begun = "";
    this.#ended = undefined;
    this.#append(`\n-- ${words} --\n`);
    this.#from = this.#text.length;
  }

  read(): string {
    const found = this.#text.slice(this.#from);
    this.#from = this.#text.length;
    return found;
  }

  async waitFor(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray> {
    const past = this.#find(pattern);
    if (past !== undefined) return past;
    if (this.#ended !== undefined) throw this.#ended;
    return await new Promise((resolve, reject) => {
      const finish = (act: () => void): void => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
        act();
      };
      const waiter: Waiter = {
        check: () => {
          const match = this.#find(pattern);
          if (match !== undefined) finish(() => resolve(match));
        },
        fail: (why) => finish(() => reject(why)),
      };
      const timer = setTimeout(() => waiter.fail(this.#timeout(pattern, timeoutMs)), timeoutMs);
      this.#waiters.add(waiter);
    });
  }

  end(why: Fault): void {
    this.#ended = why;
    for (const waiter of this.#waiters) waiter.fail(why);
  }

  all(): string {
    return this.#text;
  }

  #append(more: string): void {
    this.#text += more;
    const surplus = this.#text.length - TEXT_CHARACTERS_MAX;
    if (surplus <= 0) return;
    this.#text = this.#text.slice(surplus);
    this.#from = Math.max(0, this.#from - surplus);
  }

  #find(pattern: RegExp): RegExpExecArray | undefined {
    const match = new RegExp(pattern.source, pattern.flags.replace(/[gy]/gu, "")).exec(this.#text.slice(this.#from));
    if (match === null) return undefined;
    this.#from += match.index + match[0].length;
    return match;
  }

  #timeout(pattern: RegExp, timeoutMs: number): Fault {
    const tail = this.#text.slice(-TAIL_CHARACTERS);
    return new Fault("process.timeout", `the serial line did not show ${pattern} within ${timeoutMs} ms; its end:\n${tail}`);
  }
}
