// The queue of answers that do not go through the spool: refusals and repeated answers. A hub that
// asks without end must not write the flash full, and every request gets an answer all the same.
// [OPS-6] [TUN-7]
import { Fault } from "../../hal/fault.ts";
import type { BrokerConnection } from "./connection.ts";
import { ANSWERS_IN_FLIGHT_MAX, ANSWERS_PENDING_MAX } from "./limits.ts";

export interface AnswerQueue {
  /**
   * Queues one encoded message. It is sent again on the next connection until a broker has
   * acknowledged it, and is lost only with the process. With {@link ANSWERS_PENDING_MAX} waiting
   * the connection is ended instead: its peer asks faster than it takes the answers.
   */
  add(payload: Uint8Array): void;
  /** Sends what waits, after a connection has begun. */
  flush(): void;
  /** The answers that wait for their acknowledgement. */
  size(): number;
}

export interface AnswerQueueOptions {
  readonly topic: string;
  /** The connection that is up; undefined when there is none. */
  readonly connection: () => BrokerConnection | undefined;
  /** Ends the connection under way, also one whose session has not begun. */
  readonly end: (fault: Fault) => void;
}

export function createAnswerQueue(options: AnswerQueueOptions): AnswerQueue {
  return new PendingAnswers(options);
}

class PendingAnswers implements AnswerQueue {
  readonly #options: AnswerQueueOptions;
  /** Those that are in flight come first. */
  #waiting: Uint8Array[] = [];
  #inFlight = 0;

  constructor(options: AnswerQueueOptions) {
    this.#options = options;
  }

  add(payload: Uint8Array): void {
    if (this.size() >= ANSWERS_PENDING_MAX) {
      this.#options.end(
        new Fault("tunnel.busy", `answer the hub: ${ANSWERS_PENDING_MAX} answers wait for it; it asks faster than it takes them`),
      );
      return;
    }
    this.#waiting.push(payload);
    this.flush();
  }

  flush(): void {
    for (let to = this.#options.connection(); to !== undefined; to = this.#options.connection()) {
      if (this.#inFlight >= ANSWERS_IN_FLIGHT_MAX) return;
      const payload = this.#waiting.shift();
      if (payload === undefined) return;
      void this.#send(payload, to);
    }
  }

  size(): number {
    return this.#waiting.length + this.#inFlight;
  }

  async #send(payload: Uint8Array, through: BrokerConnection): Promise<void> {
    this.#inFlight += 1;
    try {
      await through.send(this.#options.topic, payload, false);
    } catch (error) {
      // An answer that this hub can never accept is dropped; any other fault ends the connection.
      if (!(error instanceof Fault) || error.code !== "spool.too-large") this.#waiting.unshift(payload);
    } finally {
      this.#inFlight -= 1;
    }
    this.flush();
  }
}
