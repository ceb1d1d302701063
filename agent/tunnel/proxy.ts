// HTTP CONNECT (RFC 9110 section 9.3.6): afterwards the socket is a pipe to the hub, and TLS inside it is end to end. [TUN-12]
import type { Socket } from "node:net";
import { Fault } from "../../hal/fault.ts";
import { PROXY_HEAD_BYTES_MAX } from "./limits.ts";

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/**
 * Asks the proxy at the other end of `socket` for a pipe to `target`. Whoever calls sets the deadline, by destroying the socket.
 * @throws Fault `tunnel.proxy-refused` for any answer but 2xx, for one that is too long or no HTTP, and for bytes after it: the hub never speaks first.
 */
export async function connectThroughProxy(socket: Socket, target: Endpoint): Promise<void> {
  const authority = `${target.host}:${target.port}`;
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`, "latin1");
  const head = await readHead(socket);
  const end = head.indexOf("\r\n\r\n");
  const statusLine = head.slice(0, Math.max(0, head.indexOf("\r\n")));
  const status = /^HTTP\/1\.[01] (\d{3})(?: |$)/u.exec(statusLine)?.[1];
  if (status === undefined) throw refused(authority, "an answer that is no HTTP");
  if (!status.startsWith("2")) throw refused(authority, `"${printable(statusLine)}"`);
  if (end + 4 !== head.length) throw refused(authority, "bytes after its answer, before TLS began");
}

function refused(authority: string, what: string): Fault {
  return new Fault("tunnel.proxy-refused", `ask the proxy for "${authority}": it gave ${what}, expected HTTP status 200`);
}

/** At most 80 characters of what the proxy said, fit for a terminal. */
function printable(text: string): string {
  return text.slice(0, 80).replaceAll(/[^\x20-\x7e]/gu, "?");
}

function readHead(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let head = "";
    const settle = (act: () => void): void => {
      socket.off("data", onData).off("error", onError).off("close", onClose);
      socket.pause();
      act();
    };
    const onData = (chunk: Buffer): void => {
      head += chunk.toString("latin1");
      if (head.includes("\r\n\r\n")) settle(() => resolve(head));
      else if (head.length > PROXY_HEAD_BYTES_MAX)
        settle(() =>
          reject(new Fault("tunnel.proxy-refused", `read the proxy's answer: more than ${PROXY_HEAD_BYTES_MAX} bytes`)),
        );
    };
    const onError = (cause: Error): void =>
      settle(() => reject(new Fault("tunnel.proxy-refused", `read the proxy's answer: ${cause.message}`, { cause })));
    const onClose = (): void =>
      settle(() => reject(new Fault("tunnel.proxy-refused", "read the proxy's answer: it closed the connection without one")));
    socket.on("data", onData).on("error", onError).on("close", onClose);
  });
}
