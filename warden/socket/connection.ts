// One accepted connection: bytes in, lines out, both bounded. [OPS-1] [OPS-2]
import { once } from "node:events";
import type { Socket } from "node:net";
import { Fault } from "../../hal/fault.ts";
import type { Clock } from "../../hal/ports.ts";
import { PROTOCOL_LINE_BYTES_MAX } from "../protocol/format.ts";
import { createLineSplitter } from "../protocol/framing/format.ts";
import type { ProtocolSession } from "../protocol/index.ts";
import { DRAIN_WITHIN_MS, HELLO_WITHIN_MS } from "./limits.ts";

export interface ServeConnectionOptions {
  readonly socket: Socket;
  readonly clock: Clock;
  readonly open: (send: (line: string) => Promise<void>, signal: AbortSignal) => ProtocolSession;
  /**
   * Aborts when the warden stops: nothing more is read, and the requests that were begun are
   * answered.
   */
  readonly stopping: AbortSignal;
}

/**
 * Serves until either side ends the connection. A broken pipe of the peer is not a fault of ours.
 */
export async function serveConnection({ socket, clock, open, stopping }: ServeConnectionOptions): Promise<void> {
  const closed = new AbortController();
  socket.once("close", () => closed.abort());
  // EPIPE, ECONNRESET; without a listener Node would end the process
  socket.on("error", () => closed.abort());
  const session = open(createLineSender(socket, clock, closed.signal), AbortSignal.any([closed.signal, stopping]));
  const greeted = new AbortController();
  void closeUnlessGreeted(socket, clock, AbortSignal.any([greeted.signal, closed.signal]));
  try {
    await readLines(socket, session, greeted, AbortSignal.any([closed.signal, stopping]));
    await session.settled();
  } finally {
    greeted.abort();
    socket.end(() => socket.destroy());
    void destroyUnlessDrained(socket, clock, closed.signal);
  }
}

/**
 * Reading waits until each line is taken, so the kernel's socket buffer holds back a peer that
 * sends too fast.
 */
async function readLines(socket: Socket, session: ProtocolSession, greeted: AbortController, signal: AbortSignal): Promise<void> {
  const splitter = createLineSplitter(PROTOCOL_LINE_BYTES_MAX);
  const chunks = socket.iterator({ destroyOnReturn: false });
  const aborted = once(signal, "abort").then(() => undefined);
  if (signal.aborted) return;
  try {
    for (;;) {
      const next = await Promise.race([nextChunk(chunks), aborted]);
      if (next === undefined) return;
      for (const line of splitter.push(next)) {
        if (signal.aborted || !(await session.receive(line))) return;
        greeted.abort(); // the first line that was taken is the hello
      }
    }
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== "protocol.too-large") throw error;
    await session.refuseStream(error);
  }
}

/** @returns undefined at the end of the stream, for any reason. */
async function nextChunk(chunks: AsyncIterator<unknown>): Promise<Uint8Array | undefined> {
  try {
    const next = await chunks.next();
    return next.done !== true && next.value instanceof Uint8Array ? next.value : undefined;
  } catch {
    return undefined; // the peer reset the connection, so nothing more will come
  }
}

/**
 * Sends one line after the other. A peer that reads slowly delays the next line; one that reads
 * nothing at all is disconnected.
 */
function createLineSender(socket: Socket, clock: Clock, closed: AbortSignal): (line: string) => Promise<void> {
  let last: Promise<void> = Promise.resolve();
  const write = async (line: string): Promise<void> => {
    if (closed.aborted || socket.writableEnded || socket.write(line)) return;
    const drained = new AbortController();
    socket.once("drain", () => drained.abort());
    await clock.sleep(DRAIN_WITHIN_MS, AbortSignal.any([drained.signal, closed]));
    if (!drained.signal.aborted) socket.destroy();
  };
  return (line) => (last = last.then(() => write(line)));
}

async function closeUnlessGreeted(socket: Socket, clock: Clock, greeted: AbortSignal): Promise<void> {
  await clock.sleep(HELLO_WITHIN_MS, greeted);
  if (!greeted.aborted) socket.destroy();
}

async function destroyUnlessDrained(socket: Socket, clock: Clock, closed: AbortSignal): Promise<void> {
  await clock.sleep(DRAIN_WITHIN_MS, closed);
  if (!closed.aborted) socket.destroy();
}
