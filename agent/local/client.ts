// The client of the local socket, for the `sallyport` command: one request, one answer.
import { connect } from "node:net";
import { asFault, Fault } from "../../hal/fault.ts";
import { parseJson, REPORT_VALUES_MAX } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { createLineSplitter } from "../../warden/protocol/framing/format.ts";
import {
  OPERATION_ANSWER_BYTES_MAX,
  type OperationAnswer,
  operationAnswerSchema,
  type OperationRequest,
} from "../operations/format.ts";
import { ANSWER_MS_MAX, CONNECTIONS_MAX } from "./limits.ts";

/**
 * Asks the agent that listens on `path`.
 * @returns its answer, which may be a fault.
 * @throws Fault `socket.denied` if this user may not connect; `socket.unreachable` if nobody
 *   listens or answers in time; `protocol.invalid`, `protocol.too-large` or `json.invalid` for an
 *   invalid answer. The agent may be captured, so its answer is input too.
 */
export async function askLocal(path: string, request: OperationRequest, answerMsMax = ANSWER_MS_MAX): Promise<OperationAnswer> {
  const socket = connect({ path });
  socket.setTimeout(answerMsMax, () =>
    socket.destroy(
      new Fault("socket.unreachable", `no answer at "${path}" within ${answerMsMax} ms; is the agent stuck? See its journal`),
    ),
  );
  socket.write(`${JSON.stringify(request)}\n`);
  try {
    const splitter = createLineSplitter(OPERATION_ANSWER_BYTES_MAX);
    for await (const chunk of socket) {
      if (!(chunk instanceof Uint8Array)) break;
      for (const line of splitter.push(chunk)) return answerIn(line, request.id);
    }
  } catch (error) {
    throw error instanceof Fault ? error : reachFault(error, path);
  } finally {
    socket.destroy();
  }
  throw closedFault(path);
}

function closedFault(path: string, options?: ErrorOptions): Fault {
  return new Fault(
    "socket.unreachable",
    `"${path}" was closed before it answered: ${CONNECTIONS_MAX} callers are connected already, or the agent restarts; try again in some seconds`,
    options,
  );
}

function answerIn(line: Uint8Array, id: string): OperationAnswer {
  const value = parseJson(line, OPERATION_ANSWER_BYTES_MAX, "answer of the agent", { valuesMax: REPORT_VALUES_MAX });
  const answer = check(operationAnswerSchema, value, "answer of the agent", "protocol.invalid");
  if (answer.id !== id) throw new Fault("protocol.invalid", `the agent answered request "${answer.id}", but this is "${id}"`);
  return answer;
}

function reachFault(error: unknown, path: string): Fault {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EACCES" || code === "EPERM")
    return new Fault("socket.denied", `this user may not ask the agent at "${path}"; try as root`, { cause: error });
  if (code === "ENOENT" || code === "ECONNREFUSED" || code === "ENOTSOCK")
    return new Fault(
      "socket.unreachable",
      `no agent listens at "${path}"; is it running (systemctl status sallyport-agent), and is --socket right?`,
      { cause: error },
    );
  // The agent has closed the connection before it could read the request.
  if (code === "EPIPE" || code === "ECONNRESET") return closedFault(path, { cause: error });
  return asFault(error, "socket.unreachable", `ask the agent at "${path}"`);
}
