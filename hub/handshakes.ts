// The order of TLS handshakes. They are the most expensive thing that a stranger can ask for, and
// they run on the event loop. So each turn of the loop begins few of them, for one address after
// the other, and what established clients sent is served in between. [TUN-24]
import { HANDSHAKES_PER_TURN, KNOWN_SOURCES_MAX } from "./limits.ts";
import type { Pace } from "./pace.ts";

export interface HandshakePlace {
  /** Gives the place up, when the connection ends before its turn. May be called more than once. */
  leave(): void;
}

interface Waiting {
  readonly begin: () => void;
  paced: boolean;
}

export interface HandshakeQueueOptions {
  /** Of each address. Handshakes beyond it wait. */
  readonly pace: Pace;
  /** A handshake has to wait because its address is over its pace. Called once for each. */
  readonly onPaced: (source: string) => void;
}

/** Of the handshakes that begin while both wait, those of sources from which no device is known. */
const UNKNOWN_ONE_IN = 4;
/** How soon sources that are over their pace are looked at again. */
const PACED_RETRY_MS = 20;

export class HandshakeQueue {
  readonly #options: HandshakeQueueOptions;
  /** By source, in the order in which the sources get their turn. */
  readonly #known = new Map<string, Set<Waiting>>();
  readonly #unknown = new Map<string, Set<Waiting>>();
  /** Sources from which a device has shown its certificate, the latest last. */
  readonly #devicesAt = new Set<string>();
  #begun = 0;
  #scheduled = false;

  constructor(options: HandshakeQueueOptions) {
    this.#options = options;
  }

  /** @param begin begins the handshake, in a later turn of the event loop. */
  enter(source: string, begin: () => void): HandshakePlace {
    const lane = this.#devicesAt.has(source) ? this.#known : this.#unknown;
    const waiting: Waiting = { begin, paced: false };
    lane.set(source, (lane.get(source) ?? new Set<Waiting>()).add(waiting));
    this.#schedule(0);
    return { leave: () => drop(lane, source, waiting) };
  }

  /** A device has shown its certificate: its source goes first, and this one was free. */
  proven(source: string): void {
    this.#options.pace.giveBack(source);
    this.#devicesAt.delete(source);
    this.#devicesAt.add(source);
    const [oldest] = this.#devicesAt;
    if (this.#devicesAt.size > KNOWN_SOURCES_MAX && oldest !== undefined) this.#devicesAt.delete(oldest);
  }

  #schedule(delayMs: number): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const run = (): void => {
      this.#scheduled = false;
      this.#turn();
    };
    if (delayMs === 0) setImmediate(run);
    else setTimeout(run, delayMs).unref();
  }

  #turn(): void {
    for (let n = 0; n < HANDSHAKES_PER_TURN; n++) {
      const [first, second] = this.#begun % UNKNOWN_ONE_IN === 0 ? [this.#unknown, this.#known] : [this.#known, this.#unknown];
      const begin = this.#next(first) ?? this.#next(second);
      if (begin === undefined) {
        if (this.#known.size + this.#unknown.size > 0) this.#schedule(PACED_RETRY_MS);
        return;
      }
      this.#begun += 1;
      begin();
    }
    if (this.#known.size + this.#unknown.size > 0) this.#schedule(0);
  }

  /** The next handshake of a lane whose source is within its pace. */
  #next(lane: Map<string, Set<Waiting>>): (() => void) | undefined {
    for (const [source, waiting] of lane) {
      const [oldest] = waiting;
      if (oldest === undefined) continue;
      if (!this.#options.pace.take(source)) {
        if (!oldest.paced) this.#options.onPaced(source);
        oldest.paced = true;
        continue;
      }
      // Behind all others
      lane.delete(source);
      waiting.delete(oldest);
      if (waiting.size > 0) lane.set(source, waiting);
      return oldest.begin;
    }
    return undefined;
  }
}

function drop(lane: Map<string, Set<Waiting>>, source: string, waiting: Waiting): void {
  const all = lane.get(source);
  if (all?.delete(waiting) === true && all.size === 0) lane.delete(source);
}
