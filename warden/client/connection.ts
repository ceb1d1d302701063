// One connection to the warden over a given stream: requests out, answers matched by id. [OPS-1]
import type { Duplex } from "node:stream";
import { Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import type { Clock } from "../../hal/ports.ts";
import { PROTOCOL_LINE_BYTES_MAX, wardenAnswerSchema } from "../protocol/format.ts";
import { createLineSplitter } from "../protocol/framing/format.ts";

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (fault: Fault) => void;
  readonly answered: AbortController;
}

export interface WardenConnection {
  /**
   * @returns the answer's result, not validated.
   * @throws Fault as the warden gave it; `protocol.closed` when the connection ended first. Then
   *   the caller cannot know whether the warden carried the request out.
   */
  ask(verb: string, args: object): Promise<unknown>;
  end(): void;
}

export interface WardenConnectionOptions {
  readonly clock: Clock;
  /** A call unanswered for this long means that the warden hangs, and ends the connection. */
  readonly answerWithinMs: number;
  /** Called once, before the calls in flight are refused. */
  readonly onEnd: () => void;
}

export function createWardenConnection(stream: Duplex, options: WardenConnectionOptions): WardenConnection {
  return new StreamConnection(stream, options);
}

class StreamConnection implements WardenConnection {
  readonly #stream: Duplex;
  readonly #options: WardenConnectionOptions;
  readonly #waiting = new Map<number, Waiting>();
  readonly #splitter = createLineSplitter(PROTOCOL_LINE_BYTES_MAX);
  #lastId = 0;
  #ended: Fault | undefined;

  constructor(stream: Duplex, options: WardenConnectionOptions) {
    this.#stream = stream;
    this.#options = options;
    stream.on("data", (chunk: Uint8Array) => this.#receive(chunk));
    stream.on("error", (error) => this.#end(`the connection to the warden broke: ${error.message}`, error));
    stream.on("end", () => this.#end("the warden closed the connection"));
    stream.on("close", () => this.#end("the warden closed the connection"));
  }

  ask(verb: string, args: object): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      const id = ++this.#lastId;
      const line = `${JSON.stringify({ id, verb, args })}\n`;
      const bytes = Buffer.byteLength(line);
      if (bytes > PROTOCOL_LINE_BYTES_MAX) return reject(requestTooLarge(verb, bytes));
      const answered = new AbortController();
      this.#waiting.set(id, { resolve, reject, answered });
      this.#stream.write(line);
      void this.#endUnlessAnswered(answered.signal, verb);
    });
  }

  end(): void {
    this.#end("the connection to the warden was closed on this side");
  }

  #receive(chunk: Uint8Array): void {
    try {
      for (const line of this.#splitter.push(chunk)) this.#take(line);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#end(`the warden's answer could not be read: ${error.message}`, error);
    }
  }

  #take(line: Uint8Array): void {
    const answer = check(wardenAnswerSchema, parseJson(line, PROTOCOL_LINE_BYTES_MAX, "answer"), "answer", "protocol.invalid");
    const fault = "fault" in answer ? new Fault(answer.fault.code, answer.fault.message) : undefined;
    if (answer.id === 0 && fault !== undefined) return this.#end(`the warden ended the connection: ${fault.message}`, fault);
    const request = this.#waiting.get(answer.id);
    if (request === undefined)
      throw new Fault("protocol.invalid", `the warden answered request ${answer.id}, which was not made`);
    this.#waiting.delete(answer.id);
    request.answered.abort();
    if (fault === undefined) request.resolve("result" in answer ? answer.result : undefined);
    else request.reject(fault);
  }

  async #endUnlessAnswered(answered: AbortSignal, verb: string): Promise<void> {
    const { clock, answerWithinMs } = this.#options;
    await clock.sleep(answerWithinMs, answered);
    if (!answered.aborted) this.#end(`the warden did not answer "${verb}" within ${answerWithinMs} ms`);
  }

  /** The first end counts: later ones change nothing. */
  #end(why: string, cause?: unknown): void {
    if (this.#ended !== undefined) return;
    const fault = new Fault("protocol.closed", why, { cause });
    this.#ended = fault;
    this.#stream.destroy();
    this.#options.onEnd();
    for (const { reject, answered } of this.#waiting.values()) {
      answered.abort();
      reject(fault);
    }
    this.#waiting.clear();
  }
}

function requestTooLarge(verb: string, bytes: number): Fault {
  return new Fault("protocol.too-large", `a request "${verb}" of ${bytes} bytes, at most ${PROTOCOL_LINE_BYTES_MAX} fit a line`);
}
