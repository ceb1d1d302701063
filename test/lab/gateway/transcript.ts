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
  readonly look: () => void;
  readonly fail: (why: Fault) => void;
}

export function createTranscript(): Transcript {
  const waiters = new Set<Waiter>();
  let decoder = new StringDecoder("utf8");
  let begun = "";
  let text = "";
  let seen = 0;
  let ended: Fault | undefined;

  const append = (more: string): void => {
    text += more;
    if (text.length > TEXT_CHARACTERS_MAX) {
      const surplus = text.length - TEXT_CHARACTERS_MAX;
      text = text.slice(surplus);
      seen = Math.max(0, seen - surplus);
    }
  };
  const find = (pattern: RegExp): RegExpExecArray | undefined => {
    const match = new RegExp(pattern.source, pattern.flags.replace(/[gy]/gu, "")).exec(text.slice(seen));
    if (match === null) return undefined;
    seen += match.index + match[0].length;
    return match;
  };
  return {
    add(bytes) {
      const raw = begun + decoder.write(bytes);
      begun = ESCAPE_BEGUN.exec(raw)?.[0] ?? "";
      append(
        raw
          .slice(0, raw.length - begun.length)
          .replace(ESCAPES, "")
          .replace(/\r/gu, ""),
      );
      for (const waiter of waiters) waiter.look();
    },
    mark(words) {
      decoder = new StringDecoder("utf8");
      begun = "";
      ended = undefined;
      append(`\n-- ${words} --\n`);
      seen = text.length;
    },
    read() {
      const found = text.slice(seen);
      seen = text.length;
      return found;
    },
    waitFor: (pattern, timeoutMs) =>
      new Promise((resolve, reject) => {
        const past = find(pattern);
        if (past !== undefined) {
          resolve(past);
          return;
        }
        if (ended !== undefined) {
          reject(ended);
          return;
        }
        const finish = (act: () => void): void => {
          clearTimeout(timer);
          waiters.delete(waiter);
          act();
        };
        const waiter: Waiter = {
          look: () => {
            const match = find(pattern);
            if (match !== undefined) finish(() => resolve(match));
          },
          fail: (why) => finish(() => reject(why)),
        };
        const late = (): void => {
          const tail = text.slice(-TAIL_CHARACTERS);
          waiter.fail(
            new Fault("process.timeout", `the serial line did not show ${pattern} within ${timeoutMs} ms; its end:\n${tail}`),
          );
        };
        const timer = setTimeout(late, timeoutMs);
        waiters.add(waiter);
      }),
    end(why) {
      ended = why;
      for (const waiter of waiters) waiter.fail(why);
    },
    all: () => text,
  };
}
