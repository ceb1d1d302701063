// A Unix socket for one class of local callers: who may open it is the file system's word, Node sees no peer credentials. [OPS-3]
import { createServer, type Socket } from "node:net";
import type { ListenUnix } from "../../hal/ports.ts";
import type { Operations } from "../operations/index.ts";
import { serveConnection } from "./connection.ts";
import { CONNECTIONS_MAX, ROOT_SOCKET_MODE } from "./limits.ts";

export interface LocalSocketOptions {
  /** At most 107 bytes (unix(7)); its directory must exist, with the owner and mode that suit the caller class. */
  readonly path: string;
  /** The caller class, as agent/operations knows it. */
  readonly socket: "root";
  readonly operations: Operations;
  readonly listen: ListenUnix;
}

export interface LocalSocket {
  /** Takes no more connections, closes those there are, removes the socket. */
  close(): Promise<void>;
}

/**
 * Call only with the state lock held: a socket that lies there is then a dead agent's and is removed.
 * @throws Fault `socket.listen-failed` when something else lies there, or the path can't be bound.
 */
export async function serveLocalSocket({ path, socket: name, operations, listen }: LocalSocketOptions): Promise<LocalSocket> {
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
