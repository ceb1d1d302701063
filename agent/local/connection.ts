// One connection of a local caller: a request a line, an answer a line, one after the other. [OPS-6]
import type { Socket } from "node:net";
import { Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { lineSplitter } from "../../warden/protocol/framing/format.ts";
import { OPERATION_ANSWER_BYTES_MAX, OPERATION_REQUEST_BYTES_MAX, type OperationAnswer } from "../operations/format.ts";
import type { Caller, Operations } from "../operations/index.ts";
import { IDLE_MS_MAX } from "./limits.ts";

/** Serves until the peer has asked all, hangs up, sends what is no request, or does nothing for {@link IDLE_MS_MAX}. */
export async function serveConnection(socket: Socket, caller: Caller, operations: Operations): Promise<void> {
  socket.on("error", () => socket.destroy()); // EPIPE, ECONNRESET: the peer left; without a listener Node would end the process
  socket.setTimeout(IDLE_MS_MAX, () => socket.destroy());
  const chunks = socket.iterator({ destroyOnReturn: false });
  const splitter = lineSplitter(OPERATION_REQUEST_BYTES_MAX);
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

/** A line that is too long comes last, as undefined: it is no request, and nothing after it can be told apart. */
function* linesOf(lines: Iterable<Uint8Array>): Generator<Uint8Array | undefined> {
  try {
    yield* lines;
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== "protocol.too-large") throw error;
    yield undefined;
  }
}

/** @returns false when the connection is to end: what can't be read is refused, recorded and cut off. */
async function answer(line: Uint8Array | undefined, socket: Socket, caller: Caller, operations: Operations): Promise<boolean> {
  const request = line === undefined ? undefined : jsonOf(line);
  await send(socket, boundedLine(await operations.perform(caller, request)));
  return request !== undefined && !socket.destroyed;
}

function jsonOf(line: Uint8Array): unknown {
  try {
    return parseJson(line, OPERATION_REQUEST_BYTES_MAX, "request");
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return undefined; // refused by the pipeline like any other request that is none, so that it is recorded there
  }
}

function boundedLine(answer: OperationAnswer): string {
  const line = `${JSON.stringify(answer)}\n`;
  if (Buffer.byteLength(line) <= OPERATION_ANSWER_BYTES_MAX) return line;
  const message = `the answer would have more than ${OPERATION_ANSWER_BYTES_MAX} bytes; ask for less`;
  return `${JSON.stringify({ v: 1, id: answer.id, fault: { code: "operation.failed", message } } satisfies OperationAnswer)}\n`;
}

/** Resolves when the kernel has the line, or the connection is over: a slow reader is waited for, the time limit ends one that reads nothing. */
function send(socket: Socket, line: string): Promise<void> {
  return new Promise((resolve) => void socket.write(line, () => resolve()));
}

/** @returns undefined when nothing more comes. Read on demand: a peer that sends faster than it is answered fills its own socket. */
async function nextChunk(chunks: AsyncIterator<unknown>): Promise<Uint8Array | undefined> {
  try {
    const next = await chunks.next();
    return next.done !== true && next.value instanceof Uint8Array ? next.value : undefined;
  } catch {
    return undefined; // reset by the peer or closed by the time limit: there is no more to know about it
  }
}
