// A Unix socket for one class of local callers: who may open it is the file system's word, Node sees no peer credentials. [OPS-3]
import { lstat, unlink } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { asFault, Fault } from "../../hal/fault.ts";
import type { Operations } from "../operations/index.ts";
import { serveConnection } from "./connection.ts";
import { CONNECTIONS_MAX, ROOT_SOCKET_MODE } from "./limits.ts";

export interface LocalSocketOptions {
  /** At most 107 bytes (unix(7)); its directory must exist, with the owner and mode that suit the caller class. */
  readonly path: string;
  /** The caller class, as agent/operations knows it. */
  readonly socket: "root";
  readonly operations: Operations;
}

export interface LocalSocket {
  /** Takes no more connections, closes those there are, removes the socket. */
  close(): Promise<void>;
}

/**
 * Call only with the state lock held: a socket that lies there is then a dead agent's and is removed.
 * @throws Fault `socket.listen-failed` when something else lies there, or the path can't be bound.
 */
export async function serveLocalSocket({ path, socket: name, operations }: LocalSocketOptions): Promise<LocalSocket> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    void serveConnection(socket, { channel: "local", socket: name }, operations);
  });
  server.maxConnections = CONNECTIONS_MAX;
  await removeStale(path);
  await listen(server, path);
  return {
    async close() {
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

async function removeStale(path: string): Promise<void> {
  try {
    if (!(await lstat(path)).isSocket())
      throw new Fault(
        "socket.listen-failed",
        `listen on "${path}": what lies there is no socket; remove it or choose another path`,
      );
    await unlink(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
    throw asFault(error, "socket.listen-failed", `clear the way for the socket "${path}"`);
  }
}

/** Bound under our umask: there is no moment at which others could connect. Node binds before `listen` returns. */
async function listen(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const before = process.umask(0o777 & ~ROOT_SOCKET_MODE);
    try {
      server.once("error", (error) =>
        reject(asFault(error, "socket.listen-failed", `listen on "${path}"; its directory must exist`)),
      );
      server.listen(path, () => resolve());
    } finally {
      process.umask(before);
    }
  });
}
