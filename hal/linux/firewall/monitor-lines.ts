// What `nft monitor` says, line by line: what each transaction did to our table, and at its end who
// made it. Everything in it may be long, and is somebody else's text. Pure. [LCK-69]
import { singleLine } from "../../format/text.ts";

/** Of a line, only what names the object is kept. */
const LINE_CHARACTERS_MAX = 256;
const OURS = /^(?:add|insert|replace|create|delete|destroy|reset) [a-z ]{1,20}? ?inet sallyport(?:\s|$)/u;
const GENERATION = /^# new generation \d+ by process (\d{1,10}) \((.{0,64})\)$/u;
/** nft(8): the kernel's messages came faster than nft read them. */
const LOST = /lost some netlink events/u;

/** The end of a transaction that touched our table. */
export interface Touched {
  /** As the kernel counts processes, which need not be as this program sees them. */
  readonly pid: number | undefined;
  /** Who, and its first step, as text. */
  readonly by: string;
  readonly what: string;
}

/** Cuts a stream into lines, of which it keeps the beginning only. */
export class MonitorReader {
  #line = "";
  #what: string | undefined;

  /** @returns the transactions that ended in `text` and touched our table. */
  read(text: string): readonly Touched[] {
    const touched: Touched[] = [];
    let from = 0;
    for (let to = text.indexOf("\n"); to !== -1; to = text.indexOf("\n", from)) {
      this.#keep(text, from, to);
      from = to + 1;
      const line = this.#line;
      this.#line = "";
      touched.push(...this.#take(line));
    }
    this.#keep(text, from, text.length);
    return touched;
  }

  #keep(text: string, from: number, to: number): void {
    const room = LINE_CHARACTERS_MAX - this.#line.length;
    if (room > 0) this.#line += text.slice(from, Math.min(to, from + room));
  }

  #take(line: string): readonly Touched[] {
    if (LOST.test(line)) return [{ pid: undefined, by: "unknown: notifications were lost", what: "unknown" }];
    if (OURS.test(line)) this.#what ??= singleLine(line, LINE_CHARACTERS_MAX);
    const [, pid, name = ""] = GENERATION.exec(line) ?? [];
    if (pid === undefined) return [];
    const what = this.#what;
    this.#what = undefined;
    return what === undefined ? [] : [{ pid: Number(pid), by: `${singleLine(name, LINE_CHARACTERS_MAX)} (${pid})`, what }];
  }
}
