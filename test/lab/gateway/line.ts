// Sockets to which QEMU connects when it starts. They listen first, so that none of its output is
// lost.
import { createServer, type Socket } from "node:net";
import { Fault } from "../../../hal/fault.ts";

export interface Awaited {
  /** The first connection. Rejects only when {@link Awaited.close} came first. */
  readonly socket: Promise<Socket>;
  close(): void;
}

/** @throws Fault `socket.listen-failed` when the socket cannot be made. */
export async function awaitConnection(path: string): Promise<Awaited> {
  const server = createServer();
  const socket = new Promise<Socket>((resolve, reject) => {
    server.once("connection", (first: Socket) => {
      // QEMU was killed: the close that follows ends the connection.
      first.on("error", () => first.destroy());
      resolve(first);
      server.close();
    });
    server.once("close", () => reject(new Fault("protocol.closed", `nobody connected to "${path}"`)));
  });
  socket.catch(() => {}); // The caller gets it when it waits.
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new Fault("socket.listen-failed", `listen on "${path}": ${cause.message}`, { cause })),
    );
    server.listen(path, resolve);
  });
  return { socket, close: () => void server.close() };
}
