// The pace of a service's lines, for each kind of line by itself: one kind that somebody outside
// causes again and again fills no log and hides no other kind. [OPS-36]
import { createTokenBucket, type TokenBucket } from "./rate-limit.ts";

/** Lines of one kind at once, and one each {@link LINE_PERIOD_MS} from then on. */
export const LINES_BURST_MAX = 16;
export const LINE_PERIOD_MS = 60_000;
/** Kinds that are told apart. Further ones are one kind, so that nobody invents them at will. */
export const LINE_KINDS_MAX = 64;
const KIND_CHARACTERS_MAX = 64;
const OTHERS = "";

interface Kind {
  readonly bucket: TokenBucket;
  /** The last line that was not written, and how many were not since the last one that was. */
  withheld: string;
  count: number;
}

export interface LinePaceOptions {
  /** Monotonic milliseconds. Default: the process's. */
  readonly monotonicMs?: () => number;
}

/**
 * @returns `write`, held to the pace. Lines beyond it are counted; the last of them is written with
 *   the count once a minute, for as long as there are any. Keeps no process alive.
 */
export function paceLines(write: (line: string) => void, options: LinePaceOptions = {}): (line: string) => void {
  const pace = new LinePace(write, options.monotonicMs ?? performance.now.bind(performance));
  return (line) => pace.write(line);
}

class LinePace {
  readonly #write: (line: string) => void;
  readonly #monotonicMs: () => number;
  readonly #kinds = new Map<string, Kind>();
  #timer: NodeJS.Timeout | undefined;

  constructor(write: (line: string) => void, monotonicMs: () => number) {
    this.#write = write;
    this.#monotonicMs = monotonicMs;
  }

  write(line: string): void {
    const kind = this.#kindOf(line);
    if (kind.bucket.take()) return this.#tell(kind, line);
    kind.withheld = line;
    kind.count += 1;
    this.#tellLater();
  }

  #tellLater(): void {
    if (this.#timer === undefined) this.#timer = setTimeout(() => this.#tellCounts(), LINE_PERIOD_MS).unref();
  }

  /** A line of those that were withheld is written by itself, even when no other one follows. */
  #tellCounts(): void {
    this.#timer = undefined;
    for (const kind of this.#kinds.values()) {
      if (kind.count === 0) continue;
      if (kind.bucket.take()) {
        kind.count -= 1;
        this.#tell(kind, kind.withheld);
      } else this.#tellLater();
    }
  }

  #tell(kind: Kind, line: string): void {
    const { count } = kind;
    kind.count = 0;
    this.#write(count === 0 ? line : `${line} (${count} more like it were not written)`);
  }

  #kindOf(line: string): Kind {
    const name = kindOf(line);
    const known = this.#kinds.get(name);
    if (known !== undefined) return known;
    if (this.#kinds.size >= LINE_KINDS_MAX && name !== OTHERS) {
      this.#forgetQuiet();
      if (this.#kinds.size >= LINE_KINDS_MAX) return this.#kindOf(OTHERS);
    }
    const bucket = createTokenBucket({ monotonicMs: this.#monotonicMs }, LINES_BURST_MAX, LINE_PERIOD_MS);
    const made = { bucket, withheld: "", count: 0 };
    this.#kinds.set(name, made);
    return made;
  }

  /** Kinds that could write all their lines at once are as if they had never been. */
  #forgetQuiet(): void {
    for (const [name, { bucket, count }] of this.#kinds)
      if (name !== OTHERS && count === 0 && bucket.isFull()) this.#kinds.delete(name);
  }
}

/** What a line says without what it says it of: what is quoted, and words with digits. */
function kindOf(line: string): string {
  return line
    .slice(0, 4 * KIND_CHARACTERS_MAX)
    .split('"')
    .filter((_, index) => index % 2 === 0)
    .join("")
    .split(" ")
    .filter((word) => !/[0-9]/u.test(word))
    .join(" ")
    .slice(0, KIND_CHARACTERS_MAX);
}
