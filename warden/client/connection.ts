// One connection to the warden: requests out, answers matched by id. Over a stream that somebody else connected. [OPS-1]
import type { Duplex } from "node:stream";
import { Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import type { Clock } from "../../hal/ports.ts";
import { PROTOCOL_LINE_BYTES_MAX, wardenAnswerSchema } from "../protocol/format.ts";
import { lineSplitter } from "../protocol/framing/format.ts";

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (fault: Fault) => void;
  readonly answered: AbortController;
}

export interface WardenConnection {
  /**
   * The answer's result, unjudged.
   * @throws Fault as the warden gave it; `protocol.closed` when the connection ended first, the caller then can't know whether the warden did it.
   */
  ask(verb: string, args: object): Promise<unknown>;
  end(): void;
}

export interface WardenConnectionOptions {
  readonly clock: Clock;
  /** A call unanswered for so long ends the connection: the warden hangs. */
  readonly answerWithinMs: number;
  /** Called once, before the calls in flight are refused. */
  readonly onEnd: () => void;
}

export function openWardenConnection(stream: Duplex, options: WardenConnectionOptions): WardenConnection {
  const { clock, answerWithinMs, onEnd } = options;
  const waiting = new Map<number, Waiting>();
  const splitter = lineSplitter(PROTOCOL_LINE_BYTES_MAX);
  let lastId = 0;
  let ended: Fault | undefined;

  const end = (fault: Fault): void => {
    if (ended !== undefined) return;
    ended = fault;
    stream.destroy();
    onEnd();
    for (const { reject, answered } of waiting.values()) {
      answered.abort();
      reject(fault);
    }
    waiting.clear();
  };

  const take = (line: Uint8Array): void => {
    const answer = check(wardenAnswerSchema, parseJson(line, PROTOCOL_LINE_BYTES_MAX, "answer"), "answer", "protocol.invalid");
    const fault = "fault" in answer ? new Fault(answer.fault.code, answer.fault.message) : undefined;
    if (answer.id === 0 && fault !== undefined)
      return end(new Fault("protocol.closed", `the warden ended the connection: ${fault.message}`, { cause: fault }));
    const asked = waiting.get(answer.id);
    if (asked === undefined) throw new Fault("protocol.invalid", `the warden answered request ${answer.id}, which nobody asked`);
    waiting.delete(answer.id);
    asked.answered.abort();
    if (fault === undefined) asked.resolve("result" in answer ? answer.result : undefined);
    else asked.reject(fault);
  };

  stream.on("data", (chunk: Uint8Array) => {
    try {
      for (const line of splitter.push(chunk)) take(line);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      end(new Fault("protocol.closed", `the warden's answer could not be read: ${error.message}`, { cause: error }));
    }
  });
  stream.on("error", (error) =>
    end(new Fault("protocol.closed", `the connection to the warden broke: ${error.message}`, { cause: error })),
  );
  stream.on("end", () => end(new Fault("protocol.closed", "the warden closed the connection")));
  stream.on("close", () => end(new Fault("protocol.closed", "the warden closed the connection")));

  return {
    end: () => end(new Fault("protocol.closed", "the connection to the warden was closed on this side")),
    ask: (verb, args) =>
      new Promise((resolve, reject) => {
        if (ended !== undefined) return reject(ended);
        const line = `${JSON.stringify({ id: ++lastId, verb, args })}\n`;
        if (Buffer.byteLength(line) > PROTOCOL_LINE_BYTES_MAX)
          return reject(
            new Fault(
              "protocol.too-large",
              `a request "${verb}" of ${Buffer.byteLength(line)} bytes, at most ${PROTOCOL_LINE_BYTES_MAX} fit a line`,
            ),
          );
        const answered = new AbortController();
        waiting.set(lastId, { resolve, reject, answered });
        stream.write(line);
        void giveUp(answered.signal, verb);
      }),
  };

  async function giveUp(answered: AbortSignal, verb: string): Promise<void> {
    await clock.sleep(answerWithinMs, answered);
    if (!answered.aborted) end(new Fault("protocol.closed", `the warden did not answer "${verb}" within ${answerWithinMs} ms`));
  }
}
