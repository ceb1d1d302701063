// The conversation on one connection: hello first, within a budget and bounded, with refusals
// answered and recorded. It knows no socket. [OPS-1] [OPS-2] [OPS-10]
import { asFault, Fault } from "../../hal/fault.ts";
import type { RequestBudget } from "./budget.ts";
import { decodeRequest, encodeFault, encodeResult, type Request } from "./codec.ts";
import { prepare, verbName, type VerbHandlers } from "./dispatch.ts";
import { PROTOCOL_PENDING_MAX } from "./format.ts";
import { INVALID_REQUESTS_MAX } from "./limits.ts";
import type { RefusalRecorder } from "./refusals.ts";

export interface ProtocolSessionOptions {
  readonly handlers: VerbHandlers;
  /**
   * The limiter `requests`, shared by all connections of a socket: a new connection brings no new
   * allowance.
   */
  readonly budget: RequestBudget;
  readonly refusals: RefusalRecorder;
  /** Reports to the journal what is not a refusal but a failure of the warden. */
  readonly report: (fault: Fault) => void;
  /**
   * Resolves when the peer can take more. Never rejects or hangs: the end of the connection
   * resolves it too.
   */
  readonly send: (line: string) => Promise<void>;
  /** Aborts when the connection is over. */
  readonly signal: AbortSignal;
}

export interface ProtocolSession {
  /**
   * Takes one line. Resolves when the next line may come: the wait slows a peer down. False ends
   * the connection. Never rejects.
   */
  receive(line: Uint8Array): Promise<boolean>;
  /** Refuses a line that could not be read to its end. The connection ends. */
  refuseStream(fault: Fault): Promise<void>;
  /** Resolves when every request that was begun is answered. */
  settled(): Promise<void>;
}

/** Codes which say that the machine failed, not that the peer lacks a right. */
const FAILURES: ReadonlySet<string> = new Set([
  "assert.broken",
  "audit.full",
  "audit.removed",
  "audit.tampered",
  "audit.write-failed",
  "clock.set-failed",
  "birth.unreadable",
]);

export function createProtocolSession(options: ProtocolSessionOptions): ProtocolSession {
  return new Session(options);
}

class Session implements ProtocolSession {
  readonly #options: ProtocolSessionOptions;
  readonly #pending = new Set<Promise<void>>();
  #isGreeted = false;
  #invalidRequests = 0;

  constructor(options: ProtocolSessionOptions) {
    this.#options = options;
  }

  async receive(line: Uint8Array): Promise<boolean> {
    const { budget, handlers, signal } = this.#options;
    if (!(await budget.pay(line.byteLength, signal))) return false;
    const request = orFault(() => decodeRequest(line));
    if (request instanceof Fault) {
      await this.refuseStream(request);
      return false;
    }
    if (this.#pending.size >= PROTOCOL_PENDING_MAX) {
      const message = `${PROTOCOL_PENDING_MAX} requests of this connection are unanswered; wait for an answer before the next request`;
      await this.#refuse(request.id, verbName(request), new Fault("protocol.rate-limited", message));
      return true;
    }
    const call = orFault(() => prepare(handlers, request));
    if (!this.#isGreeted) return await this.#greet(request, call);
    if (call instanceof Fault) return await this.#refuseInvalid(request, call);
    const task: Promise<void> = this.#answer(request, call).then(() => void this.#pending.delete(task));
    this.#pending.add(task);
    return true;
  }

  async refuseStream(fault: Fault): Promise<void> {
    await this.#refuse(0, "", fault);
  }

  async settled(): Promise<void> {
    await Promise.all(this.#pending);
  }

  async #greet(request: Request, call: PreparedCall | Fault): Promise<boolean> {
    if (request.verb === "hello" && !(call instanceof Fault)) return (this.#isGreeted = await this.#answer(request, call));
    const fault =
      request.verb === "hello" && call instanceof Fault
        ? call
        : new Fault("protocol.invalid", 'the first request on a connection must be "hello"');
    await this.#refuse(request.id, verbName(request), fault);
    return false;
  }

  /**
   * [OPS-10] @returns false when the connection must end: a peer that sends only what is invalid
   * pays for a new connection and a new hello.
   */
  async #refuseInvalid(request: Request, fault: Fault): Promise<boolean> {
    await this.#refuse(request.id, verbName(request), fault);
    this.#invalidRequests += 1;
    if (this.#invalidRequests < INVALID_REQUESTS_MAX) return true;
    const message = `${INVALID_REQUESTS_MAX} requests of this connection were invalid, so the warden ends it`;
    await this.#options.send(encodeFault(0, new Fault("protocol.invalid", message)));
    return false;
  }

  /** @returns false when the request was refused. */
  async #answer(request: Request, call: PreparedCall): Promise<boolean> {
    try {
      await this.#options.send(encodeResult(request.id, await call()));
      return true;
    } catch (error) {
      await this.#refuse(request.id, verbName(request), error);
      return false;
    }
  }

  async #refuse(id: number, verb: string, error: unknown): Promise<void> {
    const { budget, refusals, report, send } = this.#options;
    const fault = asFault(error, "assert.broken", `serve "${verb}"`);
    budget.chargeRefusal();
    if (FAILURES.has(fault.code) || fault.code.startsWith("file.")) report(fault);
    else await refusals.record(verb, fault);
    await send(encodeFault(id, error));
  }
}

type PreparedCall = ReturnType<typeof prepare>;

/** A request that is refused is data: it is answered and counted. */
function orFault<T>(read: () => T): T | Fault {
  try {
    return read();
  } catch (error) {
    if (error instanceof Fault && error.code.startsWith("protocol.")) return error;
    throw error;
  }
}
