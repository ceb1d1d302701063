// The agent's client of the warden: typed calls over one connection, which is made for the first
// call and again after a restart of the warden. [OPS-1] [OPS-2]
import type { Duplex } from "node:stream";
import { asFault, Fault } from "../../hal/fault.ts";
import { check } from "../../hal/format/schema.ts";
import type { Clock } from "../../hal/ports.ts";
import {
  PROTOCOL_PENDING_MAX,
  PROTOCOL_VERSION,
  WARDEN_VERBS,
  type WardenArgs,
  type WardenResult,
  type WardenVerb,
} from "../protocol/format.ts";
import { type WardenConnection, createWardenConnection } from "./connection.ts";
import { type Semaphore, createSemaphore } from "./semaphore.ts";

/**
 * Calls that wait while {@link PROTOCOL_PENDING_MAX} are unanswered. A further call is refused at
 * once.
 */
export const CALLS_WAITING_MAX = 256;
/**
 * A call unanswered for this long means that the warden hangs or is gone, and ends the connection.
 */
const ANSWER_WITHIN_MS = 30_000;

/** Every verb except the greeting, which the client sends by itself. */
type CallableVerb = Exclude<WardenVerb, "hello">;

export interface WardenClient {
  /**
   * Calls the warden, and connects first when there is no connection. A call in flight when the
   * warden goes away is not repeated, because it may have been carried out.
   * @throws Fault `protocol.closed` when there is no warden or it went away (call again);
   *   `protocol.rate-limited` when too many calls wait; `protocol.invalid` for an answer that does
   *   not fit the verb; and the fault with which the warden refused.
   */
  call<V extends CallableVerb>(verb: V, args: WardenArgs<V>): Promise<WardenResult<V>>;
  /** Ends the connection; calls in flight and later ones are refused with `protocol.closed`. */
  close(): void;
}

interface WardenClientOptions {
  /** A new stream to the warden's socket. */
  readonly connect: () => Promise<Duplex>;
  /** Name and version of this program, for the greeting. */
  readonly program: string;
  readonly clock: Clock;
  readonly answerWithinMs?: number;
}

export function createWardenClient(options: WardenClientOptions): WardenClient {
  const turns: Semaphore = createSemaphore(PROTOCOL_PENDING_MAX, CALLS_WAITING_MAX);
  // one for all calls; the first call after its end makes the next
  let current: Promise<WardenConnection> | undefined;
  let closed = false;

  const connected = async (): Promise<WardenConnection> => {
    if (closed) throw new Fault("protocol.closed", "this client of the warden was closed");
    const mine = (current ??= greet(options, () => {
      current = undefined;
    }));
    try {
      return await mine;
    } catch (error) {
      if (current === mine) current = undefined;
      throw error;
    }
  };

  return {
    call: (verb, args) => turns.run(async () => resultOf(verb, await (await connected()).ask(verb, args))),
    close() {
      closed = true;
      void current?.then(
        (connection) => connection.end(),
        () => undefined, // the connection was never made: there is nothing to end
      );
    },
  };
}

/**
 * Connects and sends hello.
 * @throws Fault `protocol.closed` when nobody listens, `protocol.invalid` when the warden speaks
 *   another protocol.
 */
async function greet(options: WardenClientOptions, onEnd: () => void): Promise<WardenConnection> {
  const { program, clock, answerWithinMs } = options;
  const stream = await connect(options);
  const connection = createWardenConnection(stream, { clock, onEnd, answerWithinMs: answerWithinMs ?? ANSWER_WITHIN_MS });
  try {
    resultOf("hello", await connection.ask("hello", { protocol: PROTOCOL_VERSION, program }));
    return connection;
  } catch (error) {
    connection.end();
    throw error;
  }
}

async function connect({ connect }: WardenClientOptions): Promise<Duplex> {
  try {
    return await connect();
  } catch (error) {
    throw asFault(error, "protocol.closed", "connect to the warden");
  }
}

function resultOf<V extends WardenVerb>(verb: V, result: unknown): WardenResult<V> {
  return check(WARDEN_VERBS[verb].result, result, `the warden's answer to "${verb}"`, "protocol.invalid");
}
