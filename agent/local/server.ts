// The server of the local socket for one class of callers. The file system decides who may open the
// socket, because Node does not see peer credentials. [OPS-3]
import { createServer, type Socket } from "node:net";
import type { ListenUnix } from "../../hal/ports.ts";
import type { Operations } from "../operations/index.ts";
import { serveConnection } from "./connection.ts";
import { CONNECTIONS_MAX, ROOT_SOCKET_MODE } from "./limits.ts";

export interface LocalSocketOptions {
  /**
   * At most 107 bytes (unix(7)). The directory must exist, with an owner and a mode that suit the
   * class of callers.
   */
  readonly path: string;
  /** The class of callers, as agent/operations names it. */
  readonly socket: "root";
  readonly operations: Operations;
  readonly listen: ListenUnix;
}

export interface LocalSocket {
  /** Closes all connections and removes the socket. */
  close(): Promise<void>;
}

/**
 * Call this only with the state lock held. A socket that exists at `path` then belongs to an agent
 * that is dead, and is removed.
 * @throws Fault `socket.listen-failed` when something else exists there or the path cannot be
 *   bound.
 */
export async function openLocalSocket({ path, socket: name, operations, listen }: LocalSocketOptions): Promise<LocalSocket> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    void serveConnection(socket, { channel: "local", socket: name }, operations);
  });
  server.maxConnections = CONNECTIONS_MAX;
  await listen(server, path, ROOT_SOCKET_MODE);
  return {
    async close() {
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}
