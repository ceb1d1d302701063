// The Unix socket for the agent. The file system decides who may connect. [OPS-1] [OPS-2]
import { createServer, type Socket } from "node:net";
import { asFault, Fault } from "../../hal/fault.ts";
import type { Clock, ListenUnix } from "../../hal/ports.ts";
import type { ProtocolSession } from "../protocol/index.ts";
import { serveConnection } from "./connection.ts";
import { CONNECTIONS_MAX, STOP_WITHIN_MS } from "./limits.ts";

/**
 * Owner and group of the socket may connect. Its directory, owner and group are set by tmpfiles or
 * the unit, setgid for the agent's group.
 */
const SOCKET_MODE = 0o660;

export interface SocketOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly listen: ListenUnix;
  readonly open: (send: (line: string) => Promise<void>, signal: AbortSignal) => ProtocolSession;
  /**
   * Receives a connection above {@link CONNECTIONS_MAX}, which is closed before anything is read
   * from it.
   */
  readonly refused: (fault: Fault) => void;
  /** Receives a defect of ours in serving a connection. */
  readonly report: (fault: Fault) => void;
}

export interface SocketServer {
  /**
   * Takes no more requests, answers those that were begun within {@link STOP_WITHIN_MS}, and
   * closes.
   */
  close(): Promise<void>;
}

/**
 * Call only while holding the state lock: then a socket under this path belongs to a dead warden
 * and is removed.
 * @throws Fault `socket.listen-failed` when something else occupies the path, or it cannot be
 *   bound.
 */
export async function serveSocket(options: SocketOptions): Promise<SocketServer> {
  const stopping = new AbortController();
  const sockets = new Map<Socket, Promise<void>>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    if (sockets.size >= CONNECTIONS_MAX) {
      socket.destroy();
      options.refused(new Fault("protocol.rate-limited", `${CONNECTIONS_MAX} connections are open, a further one was closed`));
      return;
    }
    const served = serveConnection({ socket, clock: options.clock, open: options.open, stopping: stopping.signal }).catch(
      (error: unknown) => {
        socket.destroy();
        options.report(asFault(error, "assert.broken", "serve a connection"));
      },
    );
    sockets.set(socket, served);
    socket.once("close", () => sockets.delete(socket));
  });
  await options.listen(server, options.path, SOCKET_MODE);
  return {
    async close() {
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
      stopping.abort();
      const timeout = new AbortController();
      await Promise.race([Promise.all(sockets.values()), options.clock.sleep(STOP_WITHIN_MS, timeout.signal)]);
      timeout.abort();
      for (const socket of sockets.keys()) socket.destroy();
      await closed;
    },
  };
}
