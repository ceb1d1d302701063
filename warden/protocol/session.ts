// The conversation on one connection: hello first, rate-limited and bounded, with refusals answered
// and recorded. It knows no socket. [OPS-1] [OPS-2]
import { asFault, Fault } from "../../hal/fault.ts";
import type { TokenBucket } from "../../hal/rate-limit.ts";
import { decodeRequest, encodeFault, encodeResult, type Request } from "./codec.ts";
import { dispatch, verbName, type VerbHandlers } from "./dispatch.ts";
import { PROTOCOL_PENDING_MAX } from "./format.ts";
import type { RefusalRecorder } from "./refusals.ts";

export interface ProtocolSessionOptions {
  readonly handlers: VerbHandlers;
  /**
   * The limiter `requests`, shared by all connections of a socket: a new connection brings no new
   * allowance.
   */
  readonly bucket: TokenBucket;
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

export function openProtocolSession(options: ProtocolSessionOptions): ProtocolSession {
  return new Session(options);
}

class Session implements ProtocolSession {
  readonly #options: ProtocolSessionOptions;
  readonly #pending = new Set<Promise<void>>();
  #isGreeted = false;

  constructor(options: ProtocolSessionOptions) {
    this.#options = options;
  }

  async receive(line: Uint8Array): Promise<boolean> {
    const { bucket, signal } = this.#options;
    if (!(await bucket.wait(signal))) return false;
    const request = decodeOrFault(line);
    if (request instanceof Fault) {
      await this.refuseStream(request);
      return false;
    }
    if (!this.#isGreeted) return await this.#greet(request);
    if (this.#pending.size >= PROTOCOL_PENDING_MAX) {
      const message = `${PROTOCOL_PENDING_MAX} requests of this connection are unanswered; wait for an answer before the next request`;
      await this.#refuse(request.id, verbName(request), new Fault("protocol.rate-limited", message));
      return true;
    }
    const task: Promise<void> = this.#answer(request).then(() => void this.#pending.delete(task));
    this.#pending.add(task);
    return true;
  }

  async refuseStream(fault: Fault): Promise<void> {
    await this.#refuse(0, "", fault);
  }

  async settled(): Promise<void> {
    await Promise.all(this.#pending);
  }

  async #greet(request: Request): Promise<boolean> {
    if (request.verb === "hello") return (this.#isGreeted = await this.#answer(request));
    const fault = new Fault("protocol.invalid", 'the first request on a connection must be "hello"');
    await this.#refuse(request.id, verbName(request), fault);
    return false;
  }

  /** @returns false when the request was refused. */
  async #answer(request: Request): Promise<boolean> {
    const { handlers, send } = this.#options;
    try {
      await send(encodeResult(request.id, await dispatch(handlers, request)));
      return true;
    } catch (error) {
      await this.#refuse(request.id, verbName(request), error);
      return false;
    }
  }

  async #refuse(id: number, verb: string, error: unknown): Promise<void> {
    const { refusals, report, send } = this.#options;
    const fault = asFault(error, "assert.broken", `serve "${verb}"`);
    if (FAILURES.has(fault.code) || fault.code.startsWith("file.")) report(fault);
    else await refusals.record(verb, fault);
    await send(encodeFault(id, error));
  }
}

function decodeOrFault(line: Uint8Array): Request | Fault {
  try {
    return decodeRequest(line);
  } catch (error) {
    if (error instanceof Fault && error.code === "protocol.invalid") return error;
    throw error;
  }
}
