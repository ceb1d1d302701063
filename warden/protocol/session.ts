// One connection's conversation: hello first, paced, bounded, refusals answered and recorded. Knows no socket. [OPS-1] [OPS-2]
import { asFault, Fault } from "../../hal/fault.ts";
import type { TokenBucket } from "../../hal/rate-limit.ts";
import { decodeRequest, encodeFault, encodeResult, type Request } from "./codec.ts";
import { dispatch, type VerbHandlers, printable } from "./dispatch.ts";
import { PROTOCOL_PENDING_MAX } from "./format.ts";
import type { Refusals } from "./refusals.ts";

export interface ProtocolSessionOptions {
  readonly handlers: VerbHandlers;
  /** Shared by all connections of a socket: connecting again gives no new allowance. */
  readonly bucket: TokenBucket;
  readonly refusals: Refusals;
  /** What is no refusal but a failure of ours: for the journal. */
  readonly report: (fault: Fault) => void;
  /** Resolves when the peer's side has room again; rejects or hangs for ever never: the connection's end resolves it too. */
  readonly send: (line: string) => Promise<void>;
  /** Aborts when the connection is over. */
  readonly signal: AbortSignal;
}

export interface ProtocolSession {
  /** Takes one line. Resolves when the next may come: waiting is how a peer is slowed. False ends the connection. Never rejects. */
  receive(line: Uint8Array): Promise<boolean>;
  /** A line that could not be read to its end. The connection ends. */
  refuseStream(fault: Fault): Promise<void>;
  /** Resolves when every request that was begun is answered. */
  settled(): Promise<void>;
}

/** Codes that say the machine could not, not that the peer must not. */
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
  const { handlers, bucket, refusals, report, send, signal } = options;
  const begun = new Set<Promise<void>>();
  let greeted = false;

  const refuse = async (id: number, verb: string, error: unknown): Promise<void> => {
    const fault = asFault(error, "assert.broken", `serve "${verb}"`);
    if (FAILURES.has(fault.code) || fault.code.startsWith("file.")) report(fault);
    else await refusals.record(verb, fault);
    await send(encodeFault(id, error));
  };

  const answer = async (request: Request): Promise<boolean> => {
    try {
      await send(encodeResult(request.id, await dispatch(handlers, request)));
      return true;
    } catch (error) {
      await refuse(request.id, printable(request.verb), error);
      return false;
    }
  };

  return {
    async receive(line) {
      if (!(await bucket.wait(signal))) return false;
      const request = tryDecode(line);
      if (request instanceof Fault) {
        await refuse(0, "", request);
        return false;
      }
      if (!greeted) {
        if (request.verb === "hello") return (greeted = await answer(request));
        await refuse(
          request.id,
          printable(request.verb),
          new Fault("protocol.invalid", 'the first request on a connection is "hello"'),
        );
        return false;
      }
      if (begun.size >= PROTOCOL_PENDING_MAX) {
        await refuse(
          request.id,
          printable(request.verb),
          new Fault(
            "protocol.rate-limited",
            `${PROTOCOL_PENDING_MAX} requests of this connection are unanswered; wait for answers before asking more`,
          ),
        );
        return true;
      }
      const task: Promise<void> = answer(request).then(() => void begun.delete(task));
      begun.add(task);
      return true;
    },
    refuseStream: (fault) => refuse(0, "", fault),
    settled: async () => void (await Promise.all(begun)),
  };
}

function tryDecode(line: Uint8Array): Request | Fault {
  try {
    return decodeRequest(line);
  } catch (error) {
    if (error instanceof Fault && error.code === "protocol.invalid") return error;
    throw error;
  }
}
