// The responder to the hub's operations: every message gets an answer. What was carried out is
// answered through the spool, which survives a restart. Refusals and repeated answers, which the
// hub can cause without end, are sent from memory. [OPS-6] [OPS-23] [TUN-8]
import * as v from "valibot";
import { asFault, Fault } from "../../hal/fault.ts";
import { tryCheck } from "../../hal/format/schema.ts";
import { printable } from "../../hal/format/text.ts";
import type { OperationAnswer } from "../operations/format.ts";
import { answerId, FAULT_MESSAGE_CHARACTERS_MAX } from "../operations/index.ts";
import type { OperationEnvelope } from "../tunnel/format.ts";
import { ANSWER_KEPT_BYTES_MAX, ANSWERS_KEPT_MAX, OPERATIONS_REMEMBERED_MAX } from "./limits.ts";
import type { OperationLimiter } from "./operation-limiter.ts";

interface AnswerBody {
  readonly [member: string]: unknown;
  readonly kind: "operation";
  readonly answer: OperationAnswer;
}

export interface OperationResponderOptions {
  readonly perform: OperationLimiter;
  /** Through the spool. @throws Fault `spool.full`, `spool.too-large`, and those of the files. */
  readonly publish: (body: AnswerBody) => Promise<void>;
  /** From memory. @throws Fault `spool.too-large`. */
  readonly answer: (body: AnswerBody) => void;
}

export interface OperationResponder {
  /**
   * Answers `message`: with the result, with a fault, or, for a message that came before, with the
   * answer that it got. A repetition of an operation in progress is answered once, together with
   * it.
   * @throws Fault when the answer could not be spooled. The hub has got that fault as the answer.
   */
  respond(certificate: string | undefined, message: OperationEnvelope): Promise<void>;
  /**
   * Answers `fault` to a message without a valid envelope, if the id of its request can be read:
   * without one nobody could tell what the answer belongs to.
   */
  refuse(message: unknown, fault: Fault): void;
}

export function createOperationResponder(options: OperationResponderOptions): OperationResponder {
  return new Responder(options);
}

class Responder implements OperationResponder {
  readonly #options: OperationResponderOptions;
  /** Ids of messages whose operations were begun, oldest first. */
  readonly #begun = new Map<string, "in progress" | "done">();
  /** Short answers by message id, oldest first. */
  readonly #answers = new Map<string, OperationAnswer>();

  constructor(options: OperationResponderOptions) {
    this.#options = options;
  }

  async respond(certificate: string | undefined, { id, body: request }: OperationEnvelope): Promise<void> {
    const begun = this.#begun.get(id);
    if (begun === "in progress") return;
    if (begun === "done") {
      this.#send(this.#answers.get(id) ?? refusal(request, repeated()));
      return;
    }
    this.#begun.set(id, "in progress");
    const outcome = await this.#perform(certificate, request);
    // What was not carried out may be asked for again with the same message.
    if (outcome instanceof Fault) {
      this.#begun.delete(id);
      this.#send(refusal(request, outcome));
      if (outcome.code === "assert.broken") throw outcome;
      return;
    }
    await this.#publish(id, request, outcome);
  }

  refuse(message: unknown, { message: why }: Fault): void {
    const request = tryCheck(v.object({ body: v.unknown() }), message)?.body;
    if (answerId(request) !== "") this.#send(refusal(request, new Fault("operation.invalid", why)));
  }

  /** A programming error is answered like any other fault, and reported by the caller. */
  async #perform(certificate: string | undefined, request: unknown): Promise<OperationAnswer | Fault> {
    try {
      return await this.#options.perform(certificate, request);
    } catch (error) {
      return asFault(error, "operation.failed", "carry out an operation");
    }
  }

  async #publish(id: string, request: unknown, answer: OperationAnswer): Promise<void> {
    let given = answer;
    try {
      await this.#options.publish({ kind: "operation", answer });
    } catch (error) {
      const fault = asFault(error, "spool.full", "spool the answer to an operation");
      given = refusal(request, fault);
      this.#send(given);
      throw fault;
    } finally {
      this.#remember(id, given);
    }
  }

  #remember(id: string, answer: OperationAnswer): void {
    this.#begun.set(id, "done");
    if (Buffer.byteLength(JSON.stringify(answer)) <= ANSWER_KEPT_BYTES_MAX) this.#answers.set(id, answer);
    dropOldest(this.#begun, OPERATIONS_REMEMBERED_MAX);
    dropOldest(this.#answers, ANSWERS_KEPT_MAX);
  }

  #send(answer: OperationAnswer): void {
    this.#options.answer({ kind: "operation", answer });
  }
}

function repeated(): Fault {
  return new Fault(
    "operation.repeated",
    "this message came before and was carried out; its answer is not kept, so ask again with a new message",
  );
}

function refusal(request: unknown, { code, message }: Fault): OperationAnswer {
  return { v: 1, id: answerId(request), fault: { code, message: printable(message, FAULT_MESSAGE_CHARACTERS_MAX) } };
}

function dropOldest(map: Map<string, unknown>, sizeMax: number): void {
  for (const oldest of map.keys()) {
    if (map.size <= sizeMax) return;
    map.delete(oldest);
  }
}
