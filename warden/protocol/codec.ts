// The codec of the protocol: lines to requests, answers to lines. Pure. [OPS-1]
import { asFault, Fault } from "../../hal/fault.ts";
import { parseJson, REQUEST_VALUES_MAX } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { clip } from "../../hal/format/text.ts";
import { PROTOCOL_LINE_BYTES_MAX, wardenRequestSchema } from "./format.ts";
import { FAULT_MESSAGE_CHARACTERS_MAX } from "./limits.ts";

/** A request in the right form. Its verb and its arguments are not checked yet. */
export interface Request {
  readonly id: number;
  readonly verb: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/** @throws Fault `protocol.invalid` for a line that is not a request. */
export function decodeRequest(line: Uint8Array): Request {
  try {
    return check(
      wardenRequestSchema,
      parseJson(line, PROTOCOL_LINE_BYTES_MAX, "request", { valuesMax: REQUEST_VALUES_MAX }),
      "request",
      "protocol.invalid",
    );
  } catch (error) {
    if (error instanceof Fault && error.code !== "protocol.invalid")
      throw new Fault("protocol.invalid", error.message, { cause: error });
    throw error;
  }
}

/**
 * @throws Fault `assert.broken` for an answer of the warden that would exceed the bound of a line.
 */
export function encodeResult(id: number, result: object): string {
  const line = `${JSON.stringify({ id, result })}\n`;
  if (Buffer.byteLength(line) > PROTOCOL_LINE_BYTES_MAX)
    throw new Fault(
      "assert.broken",
      `the answer to request ${id} has ${Buffer.byteLength(line)} bytes, a line at most ${PROTOCOL_LINE_BYTES_MAX}`,
    );
  return line;
}

/**
 * `id` 0 says that the line was not a request and that the connection ends. Of an error that is not
 * a Fault only a code leaves the warden, never its message.
 */
export function encodeFault(id: number, error: unknown): string {
  const fault = error instanceof Fault ? error : undefined;
  const code = asFault(error, "assert.broken", "serve a request").code;
  const message = clip(fault?.message ?? "the warden failed to serve this request; see its log", FAULT_MESSAGE_CHARACTERS_MAX);
  return `${JSON.stringify({ id, fault: { code, message } })}\n`;
}
