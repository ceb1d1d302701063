// What `nft monitor` says, line by line: what each transaction did to our table, and at its end who
// made it. Everything in it may be long, and is somebody else's text. Pure. [LCK-69]
import { singleLine } from "../../format/text.ts";

/** Of a line, only what names the object is kept. */
const LINE_CHARACTERS_MAX = 256;
/** No line that counts is shorter: `add table inet sallyport`. */
const LINE_CHARACTERS_MIN = 24;
const OURS = /^(?:add|insert|replace|create|delete|destroy|reset) [a-z ]{1,20}? ?inet sallyport(?:\s|$)/u;
const DELETED = /^(?:delete|destroy) table inet sallyport(?:\s|$)/u;
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
  /** Its last step deleted the table. */
  readonly isDeleted?: true;
}

/** Reads a stream of lines, of which it keeps the beginning only. */
export class MonitorReader {
  #rest = "";
  #what: string | undefined;
  #isDeleted = false;

  /** @returns the transactions that ended in `text` and touched our table. */
  read(text: string): readonly Touched[] {
    const lines = `${this.#rest}${text}`.split("\n");
    this.#rest = (lines.pop() ?? "").slice(0, LINE_CHARACTERS_MAX);
    const touched: Touched[] = [];
    for (const line of lines) {
      if (line.length < LINE_CHARACTERS_MIN) continue;
      const told = this.#take(line.slice(0, LINE_CHARACTERS_MAX));
      if (told !== undefined) touched.push(told);
    }
    return touched;
  }

  #take(line: string): Touched | undefined {
    if (LOST.test(line)) this.#isDeleted = false; // it may have been added again
    if (LOST.test(line)) return { pid: undefined, by: "unknown: notifications were lost", what: "unknown" };
    const isOurs = OURS.test(line);
    if (isOurs) this.#isDeleted = DELETED.test(line);
    if (isOurs && this.#what === undefined) this.#what = singleLine(line, LINE_CHARACTERS_MAX);
    const [, pid, name = ""] = GENERATION.exec(line) ?? [];
    const what = this.#what;
    if (pid === undefined || what === undefined) return undefined;
    this.#what = undefined;
    const by = `${singleLine(name, LINE_CHARACTERS_MAX)} (${pid})`;
    return { pid: Number(pid), by, what, ...(this.#isDeleted && { isDeleted: true }) };
  }
}
