// HTTP CONNECT (RFC 9110 section 9.3.6), for enrolment and tunnel. Afterwards the socket is a pipe
// to the hub, and TLS inside it is end to end. [TUN-12]
import type { Socket } from "node:net";
import { Fault, type FaultCode } from "../../hal/fault.ts";
import { ByteCollector } from "../../hal/format/collect.ts";
import { hostAndPort } from "../../hal/format/host.ts";
import { quoted } from "../../hal/format/text.ts";
import type { Endpoint } from "./endpoint.ts";

/** Bound of the head of a proxy's answer. */
const PROXY_HEAD_BYTES_MAX = 8192;

export interface ProxyRequest {
  /** The other end of the socket, for messages. */
  readonly proxy: Endpoint;
  readonly target: Endpoint;
  /** The code of the fault when no pipe is established. */
  readonly faultCode: FaultCode;
}

const END = Buffer.from("\r\n\r\n");
const STATUS_LINE = /^HTTP\/1\.[01] (\d{3})(?: [\t\x20-\x7e\x80-\xff]*)?$/u;
/** RFC 9112 section 5, without line folding. */
const FIELD_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*$/u;

/**
 * Asks the proxy for a pipe to the target. The caller sets the deadline by destroying the socket,
 * and destroys it after a fault.
 * @throws Fault `faultCode` for any answer but status 200, for one that is too long or not HTTP,
 *   and for bytes after it: the hub never sends first.
 */
export async function connectThroughProxy(socket: Socket, request: ProxyRequest): Promise<void> {
  const { proxy, target, faultCode } = request;
  const authority = hostAndPort(target);
  const refused = (what: string, cause?: Error): Fault =>
    new Fault(faultCode, `ask the proxy ${hostAndPort(proxy)} for "${authority}": it ${what}, expected HTTP status 200`, {
      cause,
    });
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`, "latin1");
  const head = await readHead(socket, refused);
  const end = head.indexOf("\r\n\r\n");
  const [statusLine = "", ...fields] = head.slice(0, end).split("\r\n");
  const status = STATUS_LINE.exec(statusLine)?.[1];
  if (status === undefined || !fields.every((line) => FIELD_LINE.test(line)))
    throw refused("answered something that is not HTTP");
  if (status !== "200") throw refused(`answered ${quoted(statusLine)}`);
  if (end + 4 !== head.length) throw refused("sent bytes after its answer, before TLS began");
}

function readHead(socket: Socket, refused: (what: string, cause?: Error) => Fault): Promise<string> {
  return new Promise((resolve, reject) => {
    const head = new ByteCollector();
    const ending = createEndFinder();
    const settle = (act: () => void): void => {
      socket.off("data", onData).off("error", onError).off("close", onClose);
      socket.pause();
      act();
    };
    const onData = (chunk: Buffer): void => {
      if (head.length + chunk.byteLength > PROXY_HEAD_BYTES_MAX)
        return settle(() => reject(refused(`answered more than ${PROXY_HEAD_BYTES_MAX} bytes`)));
      head.add(chunk);
      if (ending(chunk)) settle(() => resolve(Buffer.from(head.take()).toString("latin1")));
    };
    const onError = (cause: Error): void => settle(() => reject(refused(`broke off: ${cause.message}`, cause)));
    const onClose = (): void => settle(() => reject(refused("closed the connection without an answer")));
    socket.on("data", onData).on("error", onError).on("close", onClose);
  });
}

/**
 * @returns a function that is called with each piece, and says whether an empty line has come. It
 *   looks at each byte once. [STA-31]
 */
function createEndFinder(): (piece: Uint8Array) => boolean {
  let matched = 0;
  return (piece) => {
    for (const byte of piece) {
      if (byte === END[matched]) matched += 1;
      else matched = byte === END[0] ? 1 : 0;
      if (matched === END.byteLength) return true;
    }
    return false;
  };
}
