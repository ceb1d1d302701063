// One connection of a local caller: each line is a request and gets one line as its answer, in
// order. [OPS-6]
import type { Socket } from "node:net";
import { Fault } from "../../hal/fault.ts";
import { parseJson, REQUEST_VALUES_MAX } from "../../hal/format/json.ts";
import { createLineSplitter } from "../../warden/protocol/framing/format.ts";
import { OPERATION_ANSWER_BYTES_MAX, OPERATION_REQUEST_BYTES_MAX, type OperationAnswer } from "../operations/format.ts";
import type { Caller, Operations } from "../operations/index.ts";
import { IDLE_MS_MAX } from "./limits.ts";

/**
 * Serves until the peer ends its side or closes the connection, sends an invalid request, or is
 * idle for {@link IDLE_MS_MAX}.
 */
export async function serveConnection(socket: Socket, caller: Caller, operations: Operations): Promise<void> {
  // EPIPE, ECONNRESET: the peer is gone. Without a listener Node would end the process.
  socket.on("error", () => socket.destroy());
  socket.setTimeout(IDLE_MS_MAX, () => socket.destroy());
  const chunks = socket.iterator({ destroyOnReturn: false });
  const splitter = createLineSplitter(OPERATION_REQUEST_BYTES_MAX);
  try {
    for (let chunk = await nextChunk(chunks); chunk !== undefined; chunk = await nextChunk(chunks)) {
      for (const line of linesOf(splitter.push(chunk))) {
        if (!(await answer(line, socket, caller, operations))) return;
      }
    }
  } finally {
    socket.end();
  }
}

/**
 * Yields undefined for a line that is too long, as the last one: where the next would begin is
 * unknown.
 */
function* linesOf(lines: Iterable<Uint8Array>): Generator<Uint8Array | undefined> {
  try {
    yield* lines;
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== "protocol.too-large") throw error;
    yield undefined;
  }
}

/**
 * @returns false when the connection must end: an unreadable request is refused, recorded and cut
 *   off.
 */
async function answer(line: Uint8Array | undefined, socket: Socket, caller: Caller, operations: Operations): Promise<boolean> {
  const request = line === undefined ? undefined : jsonOf(line);
  await send(socket, boundedLine(await operations.perform(caller, request)));
  return request !== undefined && !socket.destroyed;
}

function jsonOf(line: Uint8Array): unknown {
  try {
    return parseJson(line, OPERATION_REQUEST_BYTES_MAX, "request", { valuesMax: REQUEST_VALUES_MAX });
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    // The pipeline refuses it like any other invalid request, and so records it.
    return undefined;
  }
}

function boundedLine(answer: OperationAnswer): string {
  const line = `${JSON.stringify(answer)}\n`;
  if (Buffer.byteLength(line) <= OPERATION_ANSWER_BYTES_MAX) return line;
  const message = `the answer would have more than ${OPERATION_ANSWER_BYTES_MAX} bytes; ask for less`;
  return `${JSON.stringify({ v: 1, id: answer.id, fault: { code: "operation.failed", message } } satisfies OperationAnswer)}\n`;
}

/**
 * Resolves when the kernel has the line or the connection is over. It waits for a slow reader; the
 * time limit ends a connection whose peer reads nothing.
 */
function send(socket: Socket, line: string): Promise<void> {
  return new Promise((resolve) => void socket.write(line, () => resolve()));
}

/**
 * Reads on demand, so that a peer that sends faster than it is answered fills its own socket.
 * @returns undefined when nothing more comes.
 */
async function nextChunk(chunks: AsyncIterator<unknown>): Promise<Uint8Array | undefined> {
  try {
    const next = await chunks.next();
    return next.done !== true && next.value instanceof Uint8Array ? next.value : undefined;
  } catch {
    // The peer has reset the connection or the time limit has closed it.
    return undefined;
  }
}
