// The Unix socket the agent comes in by: the file system says who may connect. [OPS-1] [OPS-2]
import { lstat, unlink } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { asFault, Fault } from "../../hal/fault.ts";
import type { Clock } from "../../hal/ports.ts";
import type { Session } from "../protocol/index.ts";
import { serveConnection } from "./connection.ts";
import { CONNECTIONS_MAX, STOP_WITHIN_MS } from "./limits.ts";

/** Owner and group of the socket may connect. Its directory, owner and group are set outside: by tmpfiles or the unit, setgid for the agent's group. */
const SOCKET_UMASK = 0o117;

export interface SocketOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly open: (send: (line: string) => Promise<void>, signal: AbortSignal) => Session;
  /** A connection above {@link CONNECTIONS_MAX}: it is closed unheard. */
  readonly refused: (fault: Fault) => void;
  /** A defect of ours in serving a connection. */
  readonly report: (fault: Fault) => void;
}

export interface SocketServer {
  /** Stops taking requests, answers those begun within {@link STOP_WITHIN_MS}, closes. */
  close(): Promise<void>;
}

/**
 * Call only with the state lock held: a socket that lies there is then a dead warden's and is removed.
 * @throws Fault `socket.listen-failed` when the path is taken by something else or can't be bound.
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
  await removeStale(options.path);
  await listen(server, options.path);
  return {
    async close() {
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
      stopping.abort();
      const late = new AbortController();
      await Promise.race([Promise.all(sockets.values()), options.clock.sleep(STOP_WITHIN_MS, late.signal)]);
      late.abort();
      for (const socket of sockets.keys()) socket.destroy();
      await closed;
    },
  };
}

async function removeStale(path: string): Promise<void> {
  try {
    if (!(await lstat(path)).isSocket())
      throw new Fault(
        "socket.listen-failed",
        `listen on "${path}": something that is no socket lies there; remove it or choose another path`,
      );
    await unlink(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
    throw asFault(error, "socket.listen-failed", `clear the way for the socket "${path}"`);
  }
}

/** Bound under our umask, so that at no moment others may connect. */
async function listen(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const before = process.umask(SOCKET_UMASK);
    server.once("error", (error) =>
      reject(
        new Fault("socket.listen-failed", `listen on "${path}": ${error.message}; its directory must exist`, { cause: error }),
      ),
    );
    server.listen(path, () => resolve());
    process.umask(before);
  });
}
