// Sockets that QEMU connects to when it starts: we listen first, so that nothing it says is lost.
import { createServer, type Socket } from "node:net";
import { Fault } from "../../../hal/fault.ts";

export interface Awaited {
  /** The first connection. Rejects only when {@link Awaited.close} came first. */
  readonly socket: Promise<Socket>;
  close(): void;
}

/** @throws Fault `socket.listen-failed` when the socket can't be made. */
export async function awaitConnection(path: string): Promise<Awaited> {
  const server = createServer();
  const socket = new Promise<Socket>((resolve, reject) => {
    server.once("connection", (first: Socket) => {
      first.on("error", () => first.destroy()); // QEMU was killed: the close that follows is what counts
      resolve(first);
      server.close();
    });
    server.once("close", () => reject(new Fault("protocol.closed", `nobody connected to "${path}"`)));
  });
  socket.catch(() => {}); // whoever awaits it gets it
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new Fault("socket.listen-failed", `listen on "${path}": ${cause.message}`, { cause })),
    );
    server.listen(path, resolve);
  });
  return { socket, close: () => void server.close() };
}
