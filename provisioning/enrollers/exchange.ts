// One HTTP request over an open stream, bounded in bytes. The stream ends with it.
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
// not from node:http: as an ES module it loads undici for its WebSocket, which takes 10 MB
import { request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import { asFault, Fault } from "../../hal/fault.ts";
import { collectBytes } from "../../hal/format/collect.ts";
import { defined } from "../../hal/format/defined.ts";
import { EXCHANGE_TIMEOUT_MS } from "./limits.ts";

export interface HttpsRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  /** `Host`: the hub's name and port. */
  readonly host: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  readonly bytesMax: number;
}

export interface HttpsResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
}

/**
 * @throws Fault `enrol.too-large` above `bytesMax`; `enrol.bad-response` for an answer that is not
 *   HTTP; `enrol.unreachable` when the stream breaks.
 */
export async function exchange(stream: Duplex, request: HttpsRequest): Promise<HttpsResponse> {
  const what = `${request.method} ${request.path}`;
  try {
    const response = await send(stream, request);
    const tooLarge = () => new Fault("enrol.too-large", `${what}: the answer has more than ${request.bytesMax} bytes`);
    const body = await collectBytes(response.iterator({ destroyOnReturn: true }), request.bytesMax, tooLarge);
    return { status: response.statusCode ?? 0, headers: response.headers, body };
  } catch (error) {
    throw asFault(error, isParseError(error) ? "enrol.bad-response" : "enrol.unreachable", what);
  } finally {
    stream.destroy();
  }
}

export interface TimeoutOptions {
  /** At most 2^31 - 1. */
  readonly timeoutMs?: number | undefined;
  /** Aborts when the program ends: no answer is awaited any more. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs an attempt under one deadline, which covers all of its steps.
 * @throws Fault `enrol.timeout`; `enrol.unreachable` when `signal` aborts.
 */
export async function withTimeout<T>(
  what: string,
  timeout: TimeoutOptions,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { timeoutMs = EXCHANGE_TIMEOUT_MS, signal } = timeout;
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), timeoutMs);
  try {
    return await attempt(signal === undefined ? deadline.signal : AbortSignal.any([deadline.signal, signal]));
  } catch (error) {
    if (signal?.aborted === true)
      throw new Fault("enrol.unreachable", `${what}: cancelled, because the program is ending`, { cause: error });
    if (!deadline.signal.aborted) throw error;
    throw new Fault("enrol.timeout", `${what}: no complete answer within ${timeoutMs / 1000} s`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

function send(stream: Duplex, request: HttpsRequest): Promise<IncomingMessage> {
  const response = Promise.withResolvers<IncomingMessage>();
  const body = request.body === undefined ? undefined : Buffer.from(request.body);
  const outgoing = httpsRequest({
    method: request.method,
    path: request.path,
    headers: {
      ...request.headers,
      host: request.host,
      connection: "close",
      ...defined({ "content-length": body === undefined ? undefined : String(body.byteLength) }),
    },
    createConnection: () => stream,
  });
  outgoing.on("response", response.resolve);
  outgoing.on("error", response.reject);
  outgoing.end(body);
  return response.promise;
}

/** llhttp's errors are named HPE_*. */
function isParseError(error: unknown): boolean {
  return error instanceof Error && "code" in error && typeof error.code === "string" && error.code.startsWith("HPE_");
}
