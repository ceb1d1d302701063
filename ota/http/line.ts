// The line to a repository, which all its requests share. What counts is that the line brings
// bytes: on a slow one an answer takes as long as it takes, and one answer may wait behind another.
// A server that brings next to nothing is given up all the same. [OTA-75]
import { performance } from "node:perf_hooks";
import { Fault } from "../../hal/fault.ts";

export interface LinePace {
  /** A line without a byte for this long is dead. */
  readonly idleMs: number;
  /** In each window of this length the line has to bring {@link windowBytesMin}. */
  readonly windowMs: number;
  readonly windowBytesMin: number;
}

/**
 * A queue in front of a slow modem holds bytes for more than 20 s. 16 KiB in two minutes are about
 * 1.1 kbit/s: the slowest lines in use have twice that, and the largest chunk ends within two and a
 * half hours at the latest, however a hostile server drips.
 */
export const LINE_PACE_DEFAULT: LinePace = { idleMs: 60_000, windowMs: 120_000, windowBytesMin: 16_384 };

/** What the head of an answer counts for: many small files are progress too. */
const HEAD_BYTES = 256;

export interface LineRequest {
  /** Aborts, with a Fault `fetch.timeout` as its reason, when the line is too slow. */
  readonly signal: AbortSignal;
  /** Must be called when the request is over. */
  end(): void;
}

export class Line {
  readonly #pace: LinePace;
  readonly #requests = new Set<AbortController>();
  #timer: NodeJS.Timeout | undefined;
  /** On the monotonic clock. */
  #heardAtMs = 0;
  #windowAtMs = 0;
  #windowBytes = 0;

  constructor(pace: LinePace) {
    this.#pace = pace;
  }

  begin(): LineRequest {
    if (this.#requests.size === 0) this.#restart();
    const request = new AbortController();
    this.#requests.add(request);
    return { signal: request.signal, end: () => this.#end(request) };
  }

  /** A connection was made, or the head of an answer has come. */
  heardHead(): void {
    this.heard(HEAD_BYTES);
  }

  heard(bytes: number): void {
    this.#heardAtMs = performance.now();
    this.#windowBytes += bytes;
  }

  #restart(): void {
    this.#heardAtMs = performance.now();
    this.#windowAtMs = this.#heardAtMs;
    this.#windowBytes = 0;
    this.#arm();
  }

  #end(request: AbortController): void {
    this.#requests.delete(request);
    if (this.#requests.size === 0) clearTimeout(this.#timer);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const { idleMs, windowMs } = this.#pace;
    const dueAtMs = Math.min(this.#heardAtMs + idleMs, this.#windowAtMs + windowMs);
    this.#timer = setTimeout(() => this.#check(), Math.max(1, Math.ceil(dueAtMs - performance.now())));
  }

  #check(): void {
    const { idleMs, windowMs, windowBytesMin } = this.#pace;
    const nowMs = performance.now();
    if (nowMs - this.#heardAtMs >= idleMs) return this.#giveUp(`no byte came for ${idleMs / 1000} s`);
    if (nowMs - this.#windowAtMs >= windowMs) {
      if (this.#windowBytes < windowBytesMin)
        return this.#giveUp(`only ${this.#windowBytes} bytes came in ${windowMs / 1000} s, expected ${windowBytesMin}`);
      this.#windowAtMs = nowMs;
      this.#windowBytes = 0;
    }
    this.#arm();
  }

  #giveUp(why: string): void {
    for (const request of this.#requests) request.abort(new Fault("fetch.timeout", why));
  }
}
